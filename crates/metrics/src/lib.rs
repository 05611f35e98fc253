//! synthmr-metrics
