//! synthmr-train
