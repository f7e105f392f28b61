//! To be filled.
extern crate proc_macro;
