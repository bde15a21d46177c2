//! Pure: the life of an incident, its guards and budgets. No clock, no I/O, no lock.

pub mod act;
pub mod budget;
pub mod guards;
pub mod life;
#[cfg(test)]
mod tests;
