//! Bars for long work: on a terminal a bar, elsewhere nothing.
//!
//! Contract: a bar goes to stderr and is gone when the work is done; whoever reads stderr through a pipe sees none of it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar of `length` steps.
pub(crate) fn bar(length: u64, label: &'static str) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style =
        ProgressStyle::with_template("{msg:<12} {bar:30} {pos}/{len} {per_sec}").expect("the template is well formed");
    bar.set_style(style);
    bar.set_message(label);
    bar
}
