//! Adam's memory.

use burn::module::{Module, Param};
use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::Tensor;

/// Adam's memory of one tensor, as a module so that it can be saved.
#[derive(Module, Debug)]
pub struct Moments {
    /// The mean of the gradients.
    pub first: Param<Tensor<4>>,
    /// The mean of their squares.
    pub second: Param<Tensor<4>>,
    /// Steps taken.
    #[module(skip)]
    pub time: usize,
}

impl Moments {
    /// No step taken yet.
    pub fn zeros(like: &Tensor<4>) -> Self {
        Self::new([like.zeros_like(), like.zeros_like()], 0)
    }

    pub(super) fn new([first, second]: [Tensor<4>; 2], time: usize) -> Self {
        let moment = |value| Param::from_tensor(value).set_require_grad(false);
        Self {
            first: moment(first),
            second: moment(second),
            time,
        }
    }

    /// Forgets a part, as if nothing had been seen of it.
    pub fn forget(&mut self, part: [std::ops::Range<usize>; 4]) {
        let blank = |x: Tensor<4>| x.slice_fill(part.clone(), 0.0);
        self.first = self.first.clone().map(blank);
        self.second = self.second.clone().map(blank);
    }

    pub(super) fn state(&self) -> Option<AdamState<4>> {
        (self.time > 0).then(|| {
            AdamState::new(AdaptiveMomentumState::new(
                self.time,
                self.first.val(),
                self.second.val(),
            ))
        })
    }
}
