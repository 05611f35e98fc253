//! The report as a reader and as a browser see it.

mod fixture;
mod loading;
mod page;
mod refusals;
