//! Segmentation networks.
