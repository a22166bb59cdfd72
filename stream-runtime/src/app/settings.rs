//! The words of an app's settings.

/// What is promised about every record.
///
/// ```
/// use stream_runtime::{App, ProcessingGuarantee};
///
/// let app = App::new("counts").processing_guarantee(ProcessingGuarantee::AtLeastOnce);
/// # let _ = app;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessingGuarantee {
    /// Inputs, tables and outputs are of one cut after any crash.
    #[default]
    ExactlyOnce,
    /// No record is lost; after a crash some may count twice. For brokers without transactions.
    AtLeastOnce,
}
