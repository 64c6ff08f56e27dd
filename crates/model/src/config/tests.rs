use super::*;
use crate::Preset;

/// The parity case's file, as DESIGN and the reference write it.
const TINY_JSON: &str = r#"{
 "image_size": 16, "width": 24, "zdim": 4,
 "enc": "16x2,16d2,8x2,8d2,4x1,4d4,1x1", "dec": "1x1,4m1,4x1,8m4,8x2,16m8,16x2",
 "custom_width": {}, "bottleneck": 0.25, "no_bias_above": 64, "num_mixtures": 10,
 "low_bit": false, "shift": -120.63838, "scale": 0.015584247193588766
}"#;

fn message(change: impl FnOnce(&mut VdvaeConfig)) -> String {
    let mut config = Preset::Tiny.config();
    change(&mut config);
    config.validate().unwrap_err().to_string()
}

#[test]
fn json_round_trips_bit_for_bit() {
    let config = VdvaeConfig::from_json(TINY_JSON).unwrap();
    assert_eq!(config, Preset::Tiny.config());
    let wide = Preset::Ffhq1024.config();
    assert!(wide.to_json().contains(r#""custom_width":{"1":512,"#));
    assert_eq!(VdvaeConfig::from_json(&wide.to_json()).unwrap(), wide);
}

#[test]
fn json_with_a_missing_unknown_or_wrong_key_is_refused() {
    let cases = [
        (TINY_JSON.replace("\"zdim\": 4,", ""), "missing field `zdim`"),
        (TINY_JSON.replace("zdim", "z_dim"), "unknown field `z_dim`"),
        (TINY_JSON.replace("\"zdim\": 4", "\"zdim\": -4"), "invalid value"),
        (TINY_JSON.replace("16x2,", "16y2,"), "found 16y2"),
        (TINY_JSON.replace("{}", "{\"a\": 1}"), "invalid"),
        ("[]".into(), "invalid"),
        (String::new(), "EOF"),
    ];
    for (json, expected) in cases {
        let error = VdvaeConfig::from_json(&json).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn widths_and_kernels_by_resolution() {
    let config = Preset::Ffhq1024.config();
    assert_eq!((config.width_at(1024), config.width_at(256), config.width_at(1)), (16, 64, 512));
    assert_eq!((config.mid_at(1024), config.mid_at(256)), (4, 16));
    assert_eq!((config.kernel_at(1), config.kernel_at(2), config.kernel_at(4)), (1, 1, 3));
    assert_eq!(config.bias_resolutions(), [1, 4, 8, 16, 32, 64]);
}

#[test]
fn blocks_and_layers_are_written_out() {
    let config = Preset::Tiny.config();
    let encoder = config.encoder_blocks();
    assert_eq!(encoder.len(), 9);
    assert_eq!(encoder[2], EncoderBlock { resolution: 16, down: Some(2) });
    assert_eq!(encoder[2].output_resolution(), 8);
    let decoder = config.decoder_blocks();
    assert_eq!(decoder[1], DecoderBlock { resolution: 4, mix_from: Some(1) });
    assert_eq!(decoder[8], DecoderBlock { resolution: 16, mix_from: None });
    assert_eq!(config.latent_layers()[8], LayerShape { index: 8, resolution: 16, channels: 4 });
}

#[test]
fn parameters_have_published_names_and_shapes() {
    let parameters = Preset::Tiny.config().parameters();
    assert_eq!(parameters.len(), 316);
    let shape = |name: &str| {
        let found = parameters.iter().find(|parameter| parameter.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).shape.clone()
    };
    assert_eq!(parameters[0].name, "encoder.in_conv.weight");
    assert_eq!(shape("encoder.in_conv.weight"), [24, 3, 3, 3]);
    assert_eq!(shape("encoder.enc_blocks.8.c2.weight"), [6, 6, 1, 1]);
    assert_eq!(shape("decoder.dec_blocks.3.enc.c1.weight"), [6, 48, 1, 1]);
    assert_eq!(shape("decoder.dec_blocks.3.prior.c4.bias"), [32]);
    assert_eq!(shape("decoder.bias_xs.3"), [1, 24, 16, 16]);
    assert_eq!(shape("decoder.out_net.out_conv.weight"), [100, 24, 1, 1]);
    assert_eq!(shape("decoder.gain"), [1, 24, 1, 1]);
}

#[test]
fn inconsistent_encoders_are_refused() {
    let enc = |text: &str| message(|config| config.enc = text.parse().unwrap());
    assert_eq!(
        enc("16x2,8x2"),
        "config: enc: expected a block at 16, the resolution reached so far, found 8x2"
    );
    assert!(enc("16d3").contains("a down rate of 2 or more that divides 16, found 16d3"));
    assert!(enc("16d0").contains("found 16d0"));
    assert!(enc("16d1").contains("found 16d1"));
    assert!(enc("16m8").contains("found 16m8"));
    assert!(enc("16x0").contains("one block or more, found 16x0"));
    assert!(enc("0d2").contains("found 0d2"));
    let shrink = message(|config| config.custom_width = [(4, 20)].into());
    assert_eq!(shrink, "config: width at 4: expected at least 24, the width at 8, found 20");
}

#[test]
fn inconsistent_decoders_are_refused() {
    let dec = |text: &str| message(|config| config.dec = text.parse().unwrap());
    assert!(dec("4m1").contains("decoded before (none so far), found 4m1"), "{}", dec("4m1"));
    assert!(dec("1x1,4m2").contains("(1), found 4m2"));
    assert!(dec("4x1,4m4").contains("found 4m4"));
    assert!(dec("8x1,4m8").contains("found 4m8"));
    assert!(dec("1x1,0m1").contains("found 0m1"));
    assert!(dec("2x1").contains("a resolution of the encoder (1, 4, 8, 16), found 2x1"));
    assert!(dec("16d2").contains("found 16d2"));
    assert!(dec("1x1,4m1").contains("end at image_size 16, found an end at 4"));
}

#[test]
fn sizes_without_bound_are_refused() {
    assert!(message(|c| c.image_size = 1 << 40).contains("image_size: expected 1 to 4096"));
    assert!(message(|c| c.width = 0).contains("width: expected 1 to"));
    assert!(message(|c| c.zdim = usize::MAX).contains("zdim"));
    assert!(message(|c| c.num_mixtures = 0).contains("num_mixtures"));
    assert!(message(|c| c.width = 1 << 16).contains("parameters in all"));
    assert!(message(|c| c.custom_width = [(7, usize::MAX)].into()).contains("custom_width.7"));
    assert!(message(|c| c.custom_width = [(16, 48)].into()).contains("custom_width.16"));
    assert!(message(|c| c.bottleneck = 0.01).contains("one channel inside a block"));
    assert!(message(|c| c.bottleneck = f64::NAN).contains("bottleneck"));
    assert!(message(|c| c.shift = f64::INFINITY).contains("shift"));
    assert!(message(|c| c.scale = 0.0).contains("scale"));
    assert!(message(|c| c.scale = 1e300).contains("scale"));
    let deep = "16x4000,16d2,8d2,4d4".parse::<BlockString>().unwrap();
    let huge = message(|c| (c.width, c.enc) = (4096, deep.clone()));
    assert!(huge.contains("parameters in all: expected 1 to 1073741824"), "{huge}");
}

/// A resolution without its own encoder block still has an activation, after pooling.
#[test]
fn a_pooled_resolution_needs_no_block_of_its_own() {
    let mut config = Preset::Tiny.config();
    config.enc = "16d2,8d8".parse().unwrap();
    config.dec = "1x1,8m1,16m8,1x1,16m1".parse().unwrap();
    config.validate().unwrap();
}
