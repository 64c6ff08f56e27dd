//! A block as an operator of candle: shapes and types are checked, tensors become slices.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use super::fused::HiddenStates;
use super::fused::{Fused, Keep};
use crate::conv::{check_parameters, grid_of};
use crate::cpu::im2col::Grid;
#[cfg(feature = "cuda")]
use crate::cuda::{
    block::Call,
    gpu::{Gpu, Kind, Operand, View},
};
use crate::real::{dispatch, host_slice, same_dtype, slice, tensor};
use crate::tape::{Operator, added, candle_gradient};

const NAME: &str = "residual block";

impl Fused {
    fn cpu_fwd<T: Keep>(
        &self,
        grid: Grid,
        inputs: &[(&CpuStorage, &Layout)],
        parameters: (&CpuStorage, &Layout),
    ) -> Result<(CpuStorage, Shape)> {
        let mut slices = Vec::with_capacity(inputs.len());
        for (storage, layout) in inputs {
            let channels = layout.dims()[3];
            slices.push((slice::<T>(storage, layout, NAME)?, channels));
        }
        let flat = slice::<T>(parameters.0, parameters.1, NAME)?;
        let out = T::to_cpu_storage_owned(self.forward(grid, &slices, flat));
        Ok((out, Shape::from((grid.n, grid.height, grid.width, self.shape.output))))
    }

    /// Checks every shape and returns the pixels' grid.
    fn check(&self, inputs: &[&Shape], parameters: &Shape) -> Result<Grid> {
        self.shape.check(NAME)?;
        check_parameters(NAME, parameters, self.shape.parameters())?;
        if self.shape.residual && inputs.len() > 1 {
            candle_core::bail!("{}: two inputs allow no residual", NAME);
        }
        let channels: usize = inputs.iter().filter_map(|s| s.dims().get(3)).sum();
        if channels != self.shape.input {
            candle_core::bail!(
                "{}: expected {} input channels, found {channels}",
                NAME,
                self.shape.input
            );
        }
        let grids = inputs
            .iter()
            .map(|s| grid_of(NAME, s, s.dims().get(3).copied().unwrap_or(0)))
            .collect::<Result<Vec<_>>>()?;
        match grids[..] {
            [grid] => Ok(grid),
            [a, b] if a == b => Ok(a),
            _ => candle_core::bail!("{}: inputs differ in size: {inputs:?}", NAME),
        }
    }

    fn gradients<T: Keep>(
        &self,
        grid: Grid,
        inputs: &[&Tensor],
        parameters: &Tensor,
        upstream: &Tensor,
        (wanted, held): (&[bool], &[Option<Tensor>]),
    ) -> Result<(Vec<Option<Tensor>>, Tensor)> {
        let read = [parameters, upstream].into_iter().chain(inputs.iter().copied());
        let read = read.chain(held.iter().flatten()).map(Tensor::contiguous);
        let read = read.collect::<Result<Vec<_>>>()?;
        let read: Vec<_> = read.iter().map(Tensor::storage_and_layout).collect();
        let slices = read.iter().map(|(storage, layout)| host_slice::<T>(storage, layout, NAME));
        let mut slices = slices.collect::<Result<Vec<_>>>()?.into_iter();
        let mut next = || slices.next().expect("one for each tensor");
        let (flat, us) = (next(), next());
        let xs: Vec<_> = inputs.iter().map(|x| (next(), x.dims()[3])).collect();
        let held: Vec<_> = held.iter().map(|held| held.as_ref().map(|_| next())).collect();
        let (dx, dp) = self.backward(grid, &xs, flat, us, (wanted, &held));
        let dx = dx
            .into_iter()
            .zip(inputs.iter().zip(wanted))
            .map(|(d, (x, wanted))| wanted.then(|| tensor(d, x.shape())).transpose())
            .collect::<Result<_>>()?;
        Ok((dx, tensor(dp, parameters.shape())?))
    }
}

#[cfg(feature = "cuda")]
impl Fused {
    fn gpu_forward(
        &self,
        grid: Grid,
        inputs: &[(&CudaStorage, &Layout)],
        parameters: (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Shape)> {
        let gpu = Gpu::of(&parameters.0.device)?;
        let mut views = Vec::with_capacity(inputs.len());
        for (storage, layout) in inputs {
            views.push((View::new(storage, layout, NAME)?, layout.dims()[3]));
        }
        for (view, _) in &views {
            view.expect(views[0].0.kind, NAME)?;
        }
        let parameters = View::new(parameters.0, parameters.1, NAME)?.expect(Kind::F32, NAME)?;
        let call = Call { gpu: &gpu, grid, shape: self.shape, inputs: &views, parameters };
        let (out, hidden) = call.forward()?;
        if self.keep {
            let hidden = HiddenStates::Gpu(Box::new(hidden));
            *self.hidden.lock().expect("no panic while held") = Some(hidden);
        }
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        Ok((out.into_storage(), shape))
    }

    fn gpu_gradients(
        &self,
        grid: Grid,
        inputs: &[&Tensor],
        parameters: &Tensor,
        upstream: &Tensor,
        (wanted, held): (&[bool], &[Option<Tensor>]),
    ) -> Result<(Vec<Option<Tensor>>, Tensor)> {
        let gpu = Gpu::of_tensor(parameters, NAME)?;
        let operands = inputs.iter().map(|x| Operand::new(x, NAME)).collect::<Result<Vec<_>>>()?;
        let views: Vec<_> =
            operands.iter().zip(inputs).map(|(x, of)| (x.view(), of.dims()[3])).collect();
        let [ps, us] = Operand::all([parameters, upstream], NAME)?;
        let hidden = match self.hidden.lock().expect("no panic while held").take() {
            Some(HiddenStates::Gpu(hidden)) => Some(*hidden),
            _ => None,
        };
        let parameters_view = ps.view();
        let call = Call {
            gpu: &gpu,
            grid,
            shape: self.shape,
            inputs: &views,
            parameters: parameters_view,
        };
        let held = held.iter().map(|held| held.as_ref().map(|sum| Operand::new(sum, NAME)));
        let held = held.map(Option::transpose).collect::<Result<Vec<_>>>()?;
        let held: Vec<_> = held.iter().map(|held| held.as_ref().map(Operand::view)).collect();
        let gradients = call.backward(hidden, us.view(), (wanted, &held))?;
        let dx = gradients.inputs.into_iter().zip(inputs);
        let dx = dx.map(|(dx, x)| dx.map(|dx| dx.into_tensor(x.shape()))).collect();
        Ok((dx, gradients.parameters.into_tensor(parameters.shape())))
    }
}

impl CustomOp2 for Fused {
    fn name(&self) -> &'static str {
        NAME
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let grid = self.check(&[x_layout.shape()], parameters_layout.shape())?;
        self.gpu_forward(grid, &[(x, x_layout)], (parameters, parameters_layout))
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let grid = self.check(&[x_layout.shape()], parameters_layout.shape())?;
        same_dtype(NAME, &[x.dtype(), parameters.dtype()])?;
        dispatch!(x.dtype(), NAME, T => {
            self.cpu_fwd::<T>(grid, &[(x, x_layout)], (parameters, parameters_layout))
        })
    }

    candle_gradient!(2);
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        NAME
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        y: &CudaStorage,
        y_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let grid = self.check(&[x_layout.shape(), y_layout.shape()], parameters_layout.shape())?;
        let inputs = [(x, x_layout), (y, y_layout)];
        self.gpu_forward(grid, &inputs, (parameters, parameters_layout))
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shapes = [x_layout.shape(), y_layout.shape()];
        let grid = self.check(&shapes, parameters_layout.shape())?;
        same_dtype(NAME, &[x.dtype(), y.dtype(), parameters.dtype()])?;
        dispatch!(x.dtype(), NAME, T => {
            let inputs = [(x, x_layout), (y, y_layout)];
            self.cpu_fwd::<T>(grid, &inputs, (parameters, parameters_layout))
        })
    }

    candle_gradient!(3);
}

impl Fused {
    /// Gradients of the inputs and the parameters, where they are wanted, added to those held.
    fn all_gradients(
        &self,
        inputs: &[&Tensor],
        parameters: &Tensor,
        upstream: &Tensor,
        wanted: &[bool],
        held: &[Option<Tensor>],
    ) -> Result<Vec<Option<Tensor>>> {
        let shapes: Vec<&Shape> = inputs.iter().map(|x| x.shape()).collect();
        let grid = self.check(&shapes, parameters.shape())?;
        let n = inputs.len();
        let onto = (&wanted[..n], &held[..n]);
        #[cfg(feature = "cuda")]
        if parameters.device().is_cuda() {
            let (mut dx, dp) = self.gpu_gradients(grid, inputs, parameters, upstream, onto)?;
            dx.extend(added([wanted[n].then_some(dp)], [held[n].clone()])?);
            return Ok(dx);
        }
        dispatch!(parameters.dtype(), NAME, T => {
            let (mut dx, dp) = self.gradients::<T>(grid, inputs, parameters, upstream, onto)?;
            dx.extend(added([wanted[n].then_some(dp)], [held[n].clone()])?);
            Ok(dx)
        })
    }
}

impl Operator<2> for Fused {
    fn backward_onto(
        &self,
        [x, parameters]: [&Tensor; 2],
        upstream: &Tensor,
        wanted: [bool; 2],
        held: [Option<Tensor>; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let gradients = self.all_gradients(&[x], parameters, upstream, &wanted, &held)?;
        Ok(gradients.try_into().expect("one for each input"))
    }
}

impl Operator<3> for Fused {
    fn backward_onto(
        &self,
        [x, y, parameters]: [&Tensor; 3],
        upstream: &Tensor,
        wanted: [bool; 3],
        held: [Option<Tensor>; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let gradients = self.all_gradients(&[x, y], parameters, upstream, &wanted, &held)?;
        Ok(gradients.try_into().expect("one for each input"))
    }
}
