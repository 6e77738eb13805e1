//! The pages, in a real browser.

use std::panic::AssertUnwindSafe;

use automa_tests::browser::{Browser, Scheme};
use futures_util::FutureExt;

use crate::block_on;

/// The checks of pages can fail.
#[test]
fn the_browser_sees_what_is_wrong() {
    block_on(async {
        let browser = Browser::open().await;
        browser.view(390, Scheme::Dark).await;
        let page = "data:text/html,<title>x</title><p style='width:500px;color:%23999'>faint</p>\
            <script>console.error('wrong')</script>";
        browser.goto(page).await;
        browser.shows("p", "faint").await;
        let fits = AssertUnwindSafe(browser.assert_fits("x")).catch_unwind().await;
        assert!(fits.is_err(), "500 pixels do not fit into 390");
        let accessible = AssertUnwindSafe(browser.assert_accessible("x")).catch_unwind().await;
        assert!(accessible.is_err(), "such a text cannot be read");
        let quiet = AssertUnwindSafe(browser.assert_quiet("x")).catch_unwind().await;
        assert!(quiet.is_err(), "the page has complained");
        browser.assert_quiet("x").await;
        browser.screenshot("x").await;
    });
}
