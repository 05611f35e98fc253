//! synthmr-report
