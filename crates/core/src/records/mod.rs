//! The records that pass from one step to the next, as JSON. Each has a schema number; a reader refuses a
//! number it does not know. No record holds a subject's name or an absolute path.

mod audit;
mod comparison;
mod evaluation;
mod membership;
mod realism;
mod run;
mod sheet;
mod store;

pub use audit::{
    AuditImages, AuditRecord, AuditSettings, DoseRecord, FlaggedImage, GateRecord, MeasureRecord,
    PatientRecord, PlainRecord, SensitivityRecord, StratumRecord, Tier,
};
pub use comparison::{ComparisonRecord, ComparisonRow, ConditionRecord, Scored};
pub use evaluation::{
    EmptyCounts, EvaluationRecord, EvaluationSettings, Interval, MetricSummary, MetricValues,
    PenalisedRecord, SubjectResult,
};
pub use membership::{AttackRecord, Detection, MembershipRecord, Proportion};
pub use realism::{Better, FeatureRecord, RealismRecord, RealismResult, RealismSettings};
pub use run::{EngineRecord, InputRecord, ModelKind, RunRecord, Tick, Tool};
pub use sheet::ContactSheet;
pub use store::{
    GeneratorRecord, LabelQuality, Origin, PreparationRecord, SamplingRecord, ShardRecord, SplitMethod,
    SplitRecord, StoreManifest, SubjectRecord,
};

/// Version of every record in this module; raised when a field changes meaning.
pub const SCHEMA: u32 = 1;
