//! The named binary attributes of a toy face.

/// What varies between people, and what between pictures of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Person,
    Picture,
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $of:ident, $rate:literal;)+) => {
        /// A binary attribute of a toy face, from global (first) to fine (last).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Attribute { $($(#[$doc])* $variant),+ }

        impl Attribute {
            /// All attributes, in the order of the labels.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Name as in the labels, e.g. `Striped_Shirt`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Probability that a person or picture has it.
            pub fn base_rate(self) -> f32 {
                match self { $(Self::$variant => $rate),+ }
            }

            /// Whether it belongs to the person, so that all pictures of one person share it.
            pub fn is_of_person(self) -> bool {
                match self { $(Self::$variant => Of::$of == Of::Person),+ }
            }
        }
    };
}

attributes! {
    /// The background is bright rather than dark.
    BrightBackground = "Bright_Background", Picture, 0.5;
    /// The background is red to yellow rather than green to violet.
    WarmBackground = "Warm_Background", Picture, 0.4;
    /// Light falls from the left of the picture rather than from the right.
    LightFromLeft = "Light_From_Left", Picture, 0.5;
    /// The head is turned to the left of the picture rather than to the right.
    TurnedLeft = "Turned_Left", Picture, 0.5;
    /// The skin is dark brown rather than pale to tan.
    DarkSkin = "Dark_Skin", Person, 0.4;
    /// The face is broad and round rather than long.
    RoundFace = "Round_Face", Person, 0.45;
    /// Hair falls to the shoulders.
    LongHair = "Long_Hair", Person, 0.45;
    /// Hair is blond; never together with [`Attribute::BlackHair`].
    BlondHair = "Blond_Hair", Person, 0.3;
    /// Hair is black; hair that is neither is brown or red.
    BlackHair = "Black_Hair", Person, 0.35;
    /// A hat covers the top of the head.
    Hat = "Hat", Picture, 0.25;
    /// Hair covers the forehead.
    Bangs = "Bangs", Person, 0.35;
    /// Hair covers chin and jaw.
    Beard = "Beard", Person, 0.25;
    /// Dark-rimmed glasses.
    Glasses = "Glasses", Picture, 0.3;
    /// The mouth is wide, its corners point up and its teeth show, rather than small and turned down.
    Smiling = "Smiling", Picture, 0.5;
    /// The jaw is down: it is dark between the lips.
    MouthOpen = "Mouth_Open", Picture, 0.35;
    /// Eyebrows are thick.
    ThickEyebrows = "Thick_Eyebrows", Person, 0.4;
    /// Hair between nose and mouth.
    Moustache = "Moustache", Person, 0.2;
    /// Round red patches on the cheeks.
    RosyCheeks = "Rosy_Cheeks", Picture, 0.35;
    /// Lips are painted red.
    Lipstick = "Lipstick", Picture, 0.35;
    /// Horizontal stripes on the shirt.
    StripedShirt = "Striped_Shirt", Picture, 0.4;
    /// Light diagonal lines on the background.
    StripedBackground = "Striped_Background", Picture, 0.3;
    /// A bright ring below each ear.
    Earrings = "Earrings", Picture, 0.35;
    /// Eyes are bright blue rather than brown.
    BlueEyes = "Blue_Eyes", Person, 0.4;
    /// Small dark spots on the cheeks.
    Freckles = "Freckles", Person, 0.3;
}

/// Which attributes a face has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits(pub(super) [bool; Attribute::ALL.len()]);

impl Traits {
    pub(super) fn has(&self, attribute: Attribute) -> bool {
        self.0[attribute as usize]
    }

    pub(super) fn set(&mut self, attribute: Attribute, value: bool) {
        self.0[attribute as usize] = value;
    }
}
