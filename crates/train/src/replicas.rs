//! Data-parallel training: the same networks on several devices, each of which takes an equal share of every batch.
//!
//! The first device is the master. It alone holds what outlasts a step: the networks that are saved, Adam's moments, the
//! moving average, counters. The others hold copies of the networks, made equal to the master's after every change, so
//! that a checkpoint has one form whatever it was trained on.
//!
//! # What is computed is what one device computes
//! * All randomness of a step is drawn for the whole batch, on the host or on the master, and then shared out ([`Parts`]);
//!   no device draws for itself.
//! * Image `i` of a batch goes to replica `i mod count`. Groups of the minibatch standard deviation are strided in the same
//!   way, so that each stays whole on one replica, and is the group that it would be on one device.
//! * What images say by one number each (logits, norms of gradients, path lengths) is gathered on the master, and losses
//!   and penalties are those of the whole batch. One backward pass goes from there through all replicas; the sum of their
//!   gradients is the gradient of the whole batch.
//! * Statistics that networks keep in buffers (the mean of w, magnitudes of StyleGAN 3) follow every replica's own share
//!   during a step, and are then averaged, which for moving means of shares is the moving mean of the whole.
//!
//! So results differ by rounding only, with one exception: while StyleGAN 3 generates a batch it scales by the magnitudes
//! that follow its own share of it. One batch of 32 moves a magnitude by a thousandth of its way.
//!
//! # How devices work at the same time
//! One thread gives every replica its work in turn. CUDA takes work without waiting for the result, so the second device
//! begins when the first has its orders, not its results. This holds as long as nothing waits inside [`Replicas::run`]: no
//! value is read from a device there, and values from the host are copied to a device before its long work is ordered,
//! because such a copy waits for what that device already has to do. Copies between two runs wait until all devices have
//! caught up, which keeps none of them from working beside the others. libtorch's backward passes have a thread for each
//! device anyway. CPU replicas take turns on the same cores: they are for tests.
//!
//! Gradients are added on the master and parameters copied from it, a star instead of a ring: simple, and fit for the few
//! devices of one machine.

use std::ops::Index;

use synthmr_nets::engine::Parameters;
use tch::{Device, Tensor};

/// A batch in equal shares, one a replica, each on its replica's device. Image `i` of the batch is in share `i mod count`.
pub struct Parts(Vec<Tensor>);

impl Parts {
    /// Shares of `whole` `[n, ...]` on `devices`, whose number divides `n`.
    pub fn split(whole: &Tensor, devices: impl ExactSizeIterator<Item = Device>) -> Self {
        let count = devices.len() as i64;
        assert!(whole.size()[0] % count == 0, "a batch in equal shares");
        let share = |(replica, device): (i64, Device)| {
            let own = if count == 1 {
                whole.shallow_clone()
            } else {
                whole.slice(0, replica, None, count).contiguous()
            };
            own.to_device(device)
        };
        Self((0..).zip(devices).map(share).collect())
    }

    /// Shares of another batch, `whole`, on the same devices.
    pub fn alike(&self, whole: &Tensor) -> Self {
        Self::split(whole, self.0.iter().map(Tensor::device))
    }

    /// Images of the whole batch.
    pub fn images(&self) -> i64 {
        self.0.iter().map(|part| part.size()[0]).sum()
    }

    /// The shares in the order of the replicas.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.0.iter()
    }

    /// Each share changed by itself.
    pub fn map(&self, change: impl FnMut(&Tensor) -> Tensor) -> Self {
        Self(self.0.iter().map(change).collect())
    }

    /// Each share with its counterpart in `other`.
    pub fn zip(&self, other: &Self, mut join: impl FnMut(&Tensor, &Tensor) -> Tensor) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(own, other)| join(own, other)).collect())
    }

    /// The whole batch `[n, ...]` on the master, in its order, as part of the graph.
    pub fn gathered(&self) -> Tensor {
        match self.0.as_slice() {
            [whole] => whole.shallow_clone(),
            parts => Tensor::stack(&on_master(parts), 1).flatten(0, 1),
        }
    }

    /// The mean of the shares, whose values stand for equally many images, on the master, as part of the graph.
    pub fn mean(&self) -> Tensor {
        match self.0.as_slice() {
            [whole] => whole.shallow_clone(),
            parts => Tensor::stack(&on_master(parts), 0).mean_dim([0i64].as_slice(), false, parts[0].kind()),
        }
    }
}

fn on_master(parts: &[Tensor]) -> Vec<Tensor> {
    parts.iter().map(|part| part.to_device(parts[0].device())).collect()
}

impl From<Vec<Tensor>> for Parts {
    fn from(parts: Vec<Tensor>) -> Self {
        Self(parts)
    }
}

impl Index<usize> for Parts {
    type Output = Tensor;
    fn index(&self, replica: usize) -> &Tensor {
        &self.0[replica]
    }
}

/// One network on each device, the master's first. One device is the ordinary case, and costs nothing.
pub struct Replicas<N> {
    networks: Vec<N>,
    parameters: fn(&N) -> &Parameters,
}

impl<N> Replicas<N> {
    /// A network on each of `devices`, at least one. `build` must give equal values on all; `parameters` are a network's.
    pub fn new(devices: &[Device], build: impl Fn(Device) -> N, parameters: fn(&N) -> &Parameters) -> Self {
        assert!(!devices.is_empty(), "a network is somewhere");
        Self { networks: devices.iter().map(|&device| build(device)).collect(), parameters }
    }

    /// The network that is saved and averaged.
    pub fn master(&self) -> &N {
        &self.networks[0]
    }

    /// All networks, the master's first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &N> {
        self.networks.iter()
    }

    /// The master's values.
    pub fn parameters(&self) -> &Parameters {
        (self.parameters)(self.master())
    }

    fn all_parameters(&self) -> impl ExactSizeIterator<Item = &Parameters> {
        self.networks.iter().map(self.parameters)
    }

    /// Shares of `whole` `[n, ...]` on the devices, whose number divides `n`.
    pub fn split(&self, whole: &Tensor) -> Parts {
        Parts::split(whole, self.all_parameters().map(|parameters| parameters.flat().device()))
    }

    /// What every network makes of its share; `work` is told the share's number.
    pub fn run(&self, mut work: impl FnMut(usize, &N) -> Tensor) -> Parts {
        Parts(self.networks.iter().enumerate().map(|(replica, network)| work(replica, network)).collect())
    }

    /// Sets every gradient to zero.
    pub fn zero_gradient(&self) {
        self.all_parameters().for_each(Parameters::zero_gradient);
    }

    /// Turns gradients on or off for all networks.
    pub fn set_requires_grad(&self, on: bool) {
        self.all_parameters().for_each(|parameters| parameters.set_requires_grad(on));
    }

    /// Brings gradients and tracked statistics together on the master, lets `change` move its values, and makes the other
    /// networks equal to it.
    pub fn update<T>(&self, change: impl FnOnce(&Parameters) -> T) -> T {
        let master = self.parameters();
        tch::no_grad(|| {
            for (others, parameters) in self.all_parameters().enumerate().skip(1) {
                let gradient = parameters.gradient().to_device(master.gradient().device());
                let _ = master.gradient().shallow_clone().g_add_(&gradient);
                for ((_, mean), (_, theirs)) in master.buffers().zip(parameters.buffers()) {
                    // The mean of so many and one more. What is equal everywhere stays as it is to the bit.
                    let theirs = theirs.to_device(mean.device());
                    let _ = mean.shallow_clone().lerp_(&theirs, 1.0 / (others as f64 + 1.0));
                }
            }
        });
        let result = change(master);
        self.align();
        result
    }

    /// Makes all networks equal to the master's.
    pub fn align(&self) {
        self.all_parameters().skip(1).for_each(|parameters| parameters.copy_from(self.parameters()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_nets::engine::{Init, ParametersBuilder};
    use tch::Kind;

    struct Line {
        slope: Tensor,
        seen: Tensor,
        parameters: Parameters,
    }

    fn lines(count: usize) -> Replicas<Line> {
        let build = |device| {
            let mut builder = ParametersBuilder::new(3, device);
            let slope = builder.root().parameter("slope", &[], Init::Constant(2.0));
            let seen = builder.root().buffer("seen", &[], Init::Constant(1.0));
            Line { slope, seen, parameters: builder.finish() }
        };
        Replicas::new(&vec![Device::Cpu; count], build, |line| &line.parameters)
    }

    #[test]
    fn a_batch_survives_being_shared_out() {
        let whole = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([6, 2, 2]);
        for count in [1, 2, 3] {
            let parts = lines(count).split(&whole);
            assert_eq!((parts.iter().count(), parts.images()), (count, 6));
            assert_eq!(parts[count - 1].get(0), whole.get(count as i64 - 1));
            assert_eq!(parts.gathered(), whole);
            assert_eq!(parts.alike(&(&whole * 2.0)).gathered(), &whole * 2.0);
            assert_eq!(parts.map(|part| part.mean(Kind::Float)).mean(), whole.mean(Kind::Float));
        }
    }

    #[test]
    fn gradients_add_up_and_changes_reach_every_replica() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 9.0]);
        for count in [1, 2, 3] {
            let lines = lines(count);
            let parts = lines.split(&x);
            lines.zero_gradient();
            lines.run(|i, line| &parts[i] * &line.slope).gathered().mean(Kind::Float).backward();
            let rate = lines.update(|parameters| {
                let gradient = parameters.gradient();
                let _ = tch::no_grad(|| parameters.flat().shallow_clone().g_sub_(gradient));
                gradient.double_value(&[0])
            });
            assert!((rate - 4.0).abs() < 1e-6, "{rate}");
            for line in lines.iter() {
                assert!((line.slope.double_value(&[]) + 2.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn tracked_statistics_are_averaged_and_constants_kept() {
        let lines = lines(3);
        for (line, value) in lines.iter().zip([1.0, 4.0, 10.0]) {
            let _ = line.seen.shallow_clone().fill_(value);
        }
        lines.update(|_| ());
        assert!(lines.iter().all(|line| (line.seen.double_value(&[]) - 5.0).abs() < 1e-6));
        // A number whose triple cannot be divided back exactly.
        lines.iter().for_each(|line| drop(line.seen.shallow_clone().fill_(0.1)));
        lines.update(|_| ());
        assert!(lines.iter().all(|line| line.seen.double_value(&[]) == f64::from(0.1f32)));
    }
}
