//! Which layers are read together.

use vdvae_features::LayerSelection;
use vdvae_model::VdvaeConfig;

/// Every resolution of a network that has latents, smallest first.
pub fn each_resolution(config: &VdvaeConfig) -> Vec<LayerSelection> {
    let mut resolutions: Vec<usize> =
        config.latent_layers().iter().map(|layer| layer.resolution).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    resolutions.into_iter().map(LayerSelection::Resolution).collect()
}

/// Every layer of a network, top (1×1) first.
pub fn each_layer(config: &VdvaeConfig) -> Vec<LayerSelection> {
    config.latent_layers().iter().map(|layer| LayerSelection::Layer(layer.index)).collect()
}

/// The layers from the top to the end of each resolution.
pub fn cumulative(config: &VdvaeConfig) -> Vec<LayerSelection> {
    let layers = config.latent_layers();
    let ends = layers.windows(2).filter(|pair| pair[0].resolution != pair[1].resolution);
    let ends = ends.map(|pair| pair[1].index).chain([layers.len()]);
    ends.map(LayerSelection::First).collect()
}

#[cfg(test)]
mod tests {
    use vdvae_model::Preset;

    use super::*;

    #[test]
    fn selections_cover_the_network() {
        let config = Preset::Tiny.config();
        assert_eq!(each_layer(&config).len(), config.latent_layers().len());
        let names: Vec<String> = each_resolution(&config).iter().map(|s| s.to_string()).collect();
        assert_eq!(names, ["1x1", "4x4", "8x8", "16x16"]);
        // Each ends where the next resolution starts, the last with the network.
        let ends = cumulative(&config);
        assert_eq!(ends.len(), names.len());
        assert_eq!(ends.last(), Some(&LayerSelection::First(config.latent_layers().len())));
    }
}
