//! The report as a reader and as a browser see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit_page;
mod fixture;
mod loading;
mod page;
mod realism;
mod refusals;
