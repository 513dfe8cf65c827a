//! The colours of both themes.

use super::Theme;

pub struct Colours {
    pub ground: &'static str,
    pub text: &'static str,
    pub muted: &'static str,
    pub grid: &'static str,
    pub line: &'static str,
    pub up: &'static str,
    pub down: &'static str,
}

/// Text has a contrast of at least 4.5 to the ground (WCAG 2.2, 1.4.3).
const LIGHT: Colours = Colours {
    ground: "#ffffff",
    text: "#1c1e21",
    muted: "#5f656d",
    grid: "#e6e8eb",
    line: "#1f5fd0",
    up: "#0a7d3c",
    down: "#c02b2b",
};
const DARK: Colours = Colours {
    ground: "#15181d",
    text: "#e8eaed",
    muted: "#9aa1aa",
    grid: "#2a2f37",
    line: "#6ea8ff",
    up: "#4cc38a",
    down: "#ff7b72",
};

impl Colours {
    pub fn of(theme: Theme) -> &'static Self {
        match theme {
            Theme::Light => &LIGHT,
            Theme::Dark => &DARK,
        }
    }
}
