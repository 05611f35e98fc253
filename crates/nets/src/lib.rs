//! synthmr-nets
