//! How a measurement and its caller talk.

/// The caller's side: progress goes out, a wish to stop comes in.
pub trait Observer {
    /// Called for every batch: how many images have been looked at, of all there are; an image counts twice for every
    /// contrast, in the network and in the metrics, and once for its pixels.
    fn progress(&mut self, images_done: u64, images_total: u64);

    /// Something a person should know: a cached file was damaged and is made again, extraction is over.
    fn note(&mut self, message: &str);

    /// True when the measurement should end with [`crate::RealismError::Interrupted`].
    fn should_stop(&self) -> bool;
}
