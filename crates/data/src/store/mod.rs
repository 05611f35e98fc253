//! The slice store.
