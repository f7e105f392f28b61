//! The simulator and what judges it. (Being built.)
