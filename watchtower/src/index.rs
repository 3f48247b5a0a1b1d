//! Which of the hints that a tower holds does this transaction id match? Filter and sorted runs.
