//! The run folder: checkpoints that a kill at any moment leaves whole.
