//! Why a report cannot be made.

use synthmr_core::Digest;
use synthmr_core::files::FileError;

/// Why a report cannot be made. Texts name the record and what was expected and found.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be read, or is not the record it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record of another version; its fields may mean something else.
    #[error(
        "{record}: expected schema {known}, found {found}\n\
         hint: use the version of synthmr that wrote it, or make the record again"
    )]
    Schema {
        /// Which record.
        record: String,
        /// The only schema that this version reads.
        known: u32,
        /// The schema it has, as written.
        found: String,
    },
    /// Training and test subjects of an evaluation were divided otherwise than the store's.
    #[error(
        "evaluation {evaluation:?} was made with the split {evaluation_split}, \
         but {other} has the split {other_split}\n\
         hint: evaluate again on this store, so that no subject is on both sides"
    )]
    SplitDisagrees {
        /// Condition name of the evaluation.
        evaluation: String,
        /// Its split digest.
        evaluation_split: Digest,
        /// What it is compared with.
        other: String,
        /// The split digest of that.
        other_split: Digest,
    },
    /// A synthetic set was given as the real one, or the other way round.
    #[error("{store} is given as the {given} store, but its manifest says that it was {origin}")]
    WrongOrigin {
        /// Name of the store.
        store: String,
        /// The place it was given in.
        given: &'static str,
        /// What its manifest says.
        origin: &'static str,
    },
    /// Two evaluations under one name: no table could tell them apart.
    #[error("two evaluations are named {condition:?}\nhint: give each condition its own name")]
    DuplicateCondition {
        /// The name.
        condition: String,
    },
    /// An audit of other stores says nothing about these.
    #[error(
        "{audit} is an audit of {audited} ({}), but {store} is {}\n\
         hint: audit this set against this cohort, and give that audit",
        audited_digest.short(),
        digest.short()
    )]
    AuditOfAnother {
        /// Name of the audit's file.
        audit: String,
        /// Name of the store that was audited.
        audited: String,
        /// Its digest.
        audited_digest: Digest,
        /// Name of the store that the report is about.
        store: String,
        /// Its digest.
        digest: Digest,
    },
    /// Realism beside another cohort says nothing about this one.
    #[error(
        "{file} measures realism beside another cohort's store ({}), but {store} is {}\n\
         hint: measure the set beside this cohort, and give that record",
        measured_digest.short(),
        digest.short()
    )]
    RealismBesideAnother {
        /// The record's file.
        file: String,
        /// Digest of the real store that it measured.
        measured_digest: Digest,
        /// Name of the store that the report is about.
        store: String,
        /// Its digest.
        digest: Digest,
    },
    /// The realism of another set, which belongs to no condition.
    #[error(
        "{file} measures the realism of another set ({}), but {store} is {}\n\
         hint: measure this set, or say with NAME=FILE which other condition the record belongs to",
        measured_digest.short(),
        digest.short()
    )]
    RealismOfAnother {
        /// The record's file.
        file: String,
        /// Digest of the synthetic store that it measured.
        measured_digest: Digest,
        /// Name of the synthetic set that the report is about.
        store: String,
        /// Its digest.
        digest: Digest,
    },
    /// Numbers beside different cohorts cannot stand beside each other.
    #[error(
        "{first} measures realism beside the cohort's store {}, but {second} beside {}\n\
         hint: measure all sets of a report beside one cohort",
        first_digest.short(),
        second_digest.short()
    )]
    RealismOfTwoCohorts {
        /// File of a record.
        first: String,
        /// Digest of its real store.
        first_digest: Digest,
        /// File of another record.
        second: String,
        /// Digest of its real store.
        second_digest: Digest,
    },
    /// A measurement under the name of a condition that was not evaluated: a slip of the pen would leave it unranked.
    #[error(
        "{file} is given as the realism of {name:?}, but no evaluation has this name (known: {})\n\
         hint: give the evaluation of {name:?} too, or the file without a name",
        if known.is_empty() { "none" } else { known }
    )]
    UnknownCondition {
        /// The record's file.
        file: String,
        /// The name that it was given.
        name: String,
        /// Names of the evaluations, quoted.
        known: String,
    },
    /// Two measurements of one kind for one condition: it would be open which of them counts.
    #[error(
        "{first} and {second} both hold the realism of {condition:?} by {features}\n\
         hint: give one of them, or give each set the name of its own condition"
    )]
    DuplicateRealism {
        /// Name of the condition.
        condition: String,
        /// Name and digest of the network.
        features: String,
        /// File of one record.
        first: String,
        /// File of the other.
        second: String,
    },
    /// A picture is damaged, not a PNG, too large, or smaller than its record says.
    #[error("{picture}: {message}")]
    Picture {
        /// Which picture.
        picture: String,
        /// What was expected and found.
        message: String,
    },
    /// The templates failed; a fault of this program.
    #[error("cannot fill in the report's template: {0}")]
    Template(#[from] askama::Error),
}
