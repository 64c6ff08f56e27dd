//! Sums over pictures, dimension by dimension of every latent layer.

use vdvae_model::VdvaeConfig;

/// Of all layers.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) images: usize,
    pub(super) layers: Vec<LayerSums>,
}

/// Of one layer, `(dimensions)` each.
#[derive(Debug, Clone)]
pub(super) struct LayerSums {
    kl: Vec<f64>,
    mean: [Vec<f64>; 2],
    /// Of the first draw and of its square, and of the second.
    draws: [Vec<f64>; 4],
    /// Of the two draws' product.
    product: Vec<f64>,
}

impl Sums {
    pub(super) fn new(config: &VdvaeConfig) -> Self {
        let layers = config.latent_layers().into_iter();
        let layers = layers.map(|l| LayerSums::new(l.channels * l.resolution.pow(2)));
        Self { images: 0, layers: layers.collect() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.images += other.images;
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            for (to, from) in to.all().into_iter().zip(from.clone().all()) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
            }
        }
    }

    /// The KL of the last of the fewest dimensions, summed over pictures, whose KL is a share of all;
    /// infinite where there is none at all.
    pub(super) fn least_of_most(&self, share: f64) -> f64 {
        let mut all: Vec<f64> =
            self.layers.iter().flat_map(|layer| layer.kl.iter().copied()).collect();
        all.sort_unstable_by(|a, b| b.total_cmp(a));
        let total: f64 = all.iter().sum();
        if total <= 0.0 {
            return f64::INFINITY;
        }
        let mut held = 0.0;
        let last = all.iter().find(|&&kl| {
            held += kl;
            held >= share * total
        });
        *last.or(all.last()).expect("a network has a latent")
    }
}

impl LayerSums {
    fn new(dimensions: usize) -> Self {
        let zeros = || vec![0.0; dimensions];
        Self {
            kl: zeros(),
            mean: std::array::from_fn(|_| zeros()),
            draws: std::array::from_fn(|_| zeros()),
            product: zeros(),
        }
    }

    fn all(&mut self) -> [&mut Vec<f64>; 8] {
        let Self { kl, mean: [m, mm], draws: [a, aa, b, bb], product } = self;
        [kl, m, mm, a, aa, b, bb, product]
    }

    pub(super) fn dimensions(&self) -> usize {
        self.kl.len()
    }

    /// Adds the KL of pictures, (N, dimensions).
    pub(super) fn add_kl(&mut self, pictures: &[Vec<f32>]) {
        for picture in pictures {
            self.kl.iter_mut().zip(picture).for_each(|(sum, &kl)| *sum += f64::from(kl));
        }
    }

    pub(super) fn add_means(&mut self, pictures: &[Vec<f32>]) {
        let [sums, squares] = &mut self.mean;
        for picture in pictures {
            for ((sum, square), &mean) in sums.iter_mut().zip(squares.iter_mut()).zip(picture) {
                *sum += f64::from(mean);
                *square += f64::from(mean).powi(2);
            }
        }
    }

    /// Adds two draws of the latents of pictures.
    pub(super) fn add_draws(&mut self, first: &[Vec<f32>], second: &[Vec<f32>]) {
        let [a, aa, b, bb] = &mut self.draws;
        for (first, second) in first.iter().zip(second) {
            for (i, (&x, &y)) in first.iter().zip(second).enumerate() {
                let (x, y) = (f64::from(x), f64::from(y));
                a[i] += x;
                aa[i] += x * x;
                b[i] += y;
                bb[i] += y * y;
                self.product[i] += x * y;
            }
        }
    }

    /// KL of the layer, a picture.
    pub(super) fn kl_nats(&self, images: usize) -> f64 {
        self.kl.iter().sum::<f64>() / images as f64
    }

    /// Dimensions with at least so much KL, summed over pictures.
    pub(super) fn count_above(&self, least: f64) -> usize {
        self.kl.iter().filter(|&&kl| kl >= least).count()
    }

    /// Dimensions whose posterior mean varies by more than `least`.
    pub(super) fn active(&self, images: usize, least: f64) -> usize {
        let n = images as f64;
        let [sums, squares] = &self.mean;
        let variances =
            sums.iter().zip(squares).map(|(sum, square)| square / n - (sum / n).powi(2));
        variances.filter(|variance| *variance > least).count()
    }

    /// Mean over dimensions of the correlation of the two draws; a dimension that does not vary has
    /// none, and counts as 0.
    pub(super) fn reliability(&self, images: usize) -> Option<f64> {
        if images < 2 {
            return None;
        }
        let n = images as f64;
        let [a, aa, b, bb] = &self.draws;
        let correlation = |i: usize| {
            let covariance = self.product[i] / n - a[i] / n * (b[i] / n);
            let variances = (aa[i] / n - (a[i] / n).powi(2)) * (bb[i] / n - (b[i] / n).powi(2));
            if variances > 1e-24 { covariance / variances.sqrt() } else { 0.0 }
        };
        let dimensions = self.dimensions();
        Some((0..dimensions).map(correlation).sum::<f64>() / dimensions as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_told_from_its_dimensions() {
        let mut layer = LayerSums::new(3);
        // Dimension 0 repeats itself, dimension 1 is drawn anew, dimension 2 never changes.
        let first = [
            vec![1.0, 1.0, 0.5],
            vec![-1.0, 1.0, 0.5],
            vec![1.0, -1.0, 0.5],
            vec![-1.0, -1.0, 0.5],
        ];
        let second = [
            vec![2.0, 1.0, 0.5],
            vec![-2.0, -1.0, 0.5],
            vec![2.0, 1.0, 0.5],
            vec![-2.0, -1.0, 0.5],
        ];
        layer.add_draws(&first, &second);
        layer.add_means(&first);
        layer.add_kl(&[vec![0.9, 0.05, 0.0], vec![1.1, 0.05, 0.0]]);
        assert!((layer.reliability(4).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(layer.reliability(1), None);
        assert_eq!(layer.active(4, 0.01), 2);
        assert!((layer.kl_nats(2) - 1.05).abs() < 1e-6);
        let mut sums = Sums { images: 2, layers: vec![layer.clone()] };
        // 2.0 of 2.1 is more than 95%.
        assert_eq!(layer.count_above(sums.least_of_most(0.95)), 1);
        assert_eq!(layer.count_above(sums.least_of_most(0.96)), 2);
        sums.layers[0].kl = vec![0.0; 3];
        assert_eq!(sums.layers[0].count_above(sums.least_of_most(0.95)), 0);
    }
}
