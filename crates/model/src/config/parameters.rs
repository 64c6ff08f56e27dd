//! Names and shapes of every parameter, as the published checkpoints store them.

use super::{IMAGE_CHANNELS, Unpool, VdvaeConfig};

/// A parameter of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Published name, such as `decoder.dec_blocks.3.prior.c1.weight`.
    pub name: String,
    /// Shape in PyTorch's order; a convolution's weight is (out, in, k, k).
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no number; never so in a valid configuration.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl VdvaeConfig {
    /// Every parameter in module order: encoder, decoder blocks, biases, output.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut list = List(Vec::new());
        list.conv("encoder.in_conv", IMAGE_CHANNELS, self.width, 3);
        for (i, block) in self.encoder_blocks().iter().enumerate() {
            let width = self.width_at(block.resolution);
            let sizes = self.block_sizes(width, width, block.resolution);
            list.block(&format!("encoder.enc_blocks.{i}"), sizes);
        }
        for (i, block) in self.decoder_blocks().iter().enumerate() {
            let (width, z, r) = (self.width_at(block.resolution), self.zdim, block.resolution);
            let name = format!("decoder.dec_blocks.{i}");
            list.block(&format!("{name}.enc"), self.block_sizes(2 * width, 2 * z, r));
            list.block(&format!("{name}.prior"), self.block_sizes(width, 2 * z + width, r));
            list.conv(&format!("{name}.z_proj"), z, width, 1);
            list.block(&format!("{name}.resnet"), self.block_sizes(width, width, r));
            if let (Some(from), Unpool::Learned) = (block.mix_from, self.unpool) {
                let pixels = (r / from) * (r / from);
                list.conv(&format!("{name}.unpool"), self.width_at(from), pixels * width, 1);
            }
        }
        for (i, &r) in self.bias_resolutions().iter().enumerate() {
            list.push(format!("decoder.bias_xs.{i}"), vec![1, self.width_at(r), r, r]);
        }
        // A mixture component has a weight, and per channel a mean, a log scale and a coefficient.
        let outputs = self.num_mixtures * (1 + 3 * IMAGE_CHANNELS);
        list.conv("decoder.out_net.out_conv", self.width, outputs, 1);
        list.push("decoder.gain".into(), vec![1, self.width, 1, 1]);
        list.push("decoder.bias".into(), vec![1, self.width, 1, 1]);
        list.0
    }

    /// Count of all parameters.
    pub fn num_parameters(&self) -> usize {
        self.parameters().iter().map(ParameterSpec::len).sum()
    }

    fn block_sizes(&self, input: usize, output: usize, resolution: usize) -> BlockSizes {
        BlockSizes {
            input,
            mid: self.mid_at(resolution),
            output,
            kernel: self.kernel_at(resolution),
        }
    }
}

struct BlockSizes {
    input: usize,
    mid: usize,
    output: usize,
    kernel: usize,
}

struct List(Vec<ParameterSpec>);

impl List {
    fn push(&mut self, name: String, shape: Vec<usize>) {
        self.0.push(ParameterSpec { name, shape });
    }

    fn conv(&mut self, name: &str, input: usize, output: usize, kernel: usize) {
        self.push(format!("{name}.weight"), vec![output, input, kernel, kernel]);
        self.push(format!("{name}.bias"), vec![output]);
    }

    fn block(&mut self, name: &str, BlockSizes { input, mid, output, kernel }: BlockSizes) {
        self.conv(&format!("{name}.c1"), input, mid, 1);
        self.conv(&format!("{name}.c2"), mid, mid, kernel);
        self.conv(&format!("{name}.c3"), mid, mid, kernel);
        self.conv(&format!("{name}.c4"), mid, output, 1);
    }
}
