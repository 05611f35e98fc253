//! synthmr-cli
