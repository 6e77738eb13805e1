//! Pages about accounts, in a real browser: signing in, one's profile, users.

use automa_tests::{
    browser::{Browser, Scheme},
    client::PASSWORD,
    server::Server,
};
use serde_json::json;

use crate::{
    block_on,
    pages::{look, sign_in, signed_in},
};

const OTHER: &str = "tide lamp orbit quill";

/// What somebody does who has forgotten their password.
#[test]
fn from_a_forgotten_password_to_a_new_one() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        browser.goto(&format!("{}/users/new", server.url())).await;
        browser.fill("#username", "olga").await;
        browser.fill("#email", "olga@example.com").await;
        browser.fill("#password", PASSWORD).await;
        browser.click("main form button").await;
        browser.shows("h1", "olga").await;
        browser.click("form[action$='/reset'] button").await;
        browser.shows("#link-h", "told this once").await;
        let link = browser.evaluate("return document.querySelector('#link').innerText").await;
        let link = link.as_str().unwrap().trim().to_owned();
        for (width, scheme) in [(1280, Scheme::Light), (390, Scheme::Dark)] {
            browser.view(width, scheme).await;
            let name = format!("user-reset-{width}-{}", scheme.name());
            browser.screenshot(&name).await;
            browser.assert_fits(&name).await;
            browser.assert_accessible(&name).await;
        }

        let other = Browser::open().await;
        look(&other, &link, "reset").await;
        other.shows("main", "For the account olga").await;
        other.fill("#password", "olga1234olga").await;
        other.click("main form button").await;
        other.shows("main .error", "besides your name").await;
        other.fill("#password", OTHER).await;
        other.click("main form button").await;
        other.shows("main", "Your password is set").await;
        other.fill("#username", "olga").await;
        other.fill("#password", OTHER).await;
        other.click("form[action='/sign-in'] button").await;
        other.shows("#menu", "olga").await;
        // What was refused is an error to the browser too.
        other.said().await;
        other.goto(&link).await;
        other.shows("main", "ask an admin for another one").await;
        browser.assert_quiet("users").await;
    });
}

#[test]
fn a_new_password_signs_out_elsewhere() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let other = Browser::open().await;
        other.goto(&format!("{}/sign-in", server.url())).await;
        sign_in(&other).await;
        let profile = format!("{}/profile", server.url());
        browser.goto(&profile).await;
        browser.shows("main", "this one").await;
        look(&browser, &profile, "profile").await;
        browser.view(1280, Scheme::Light).await;
        browser.fill("#current_password", "wrong").await;
        browser.fill("#new_password", OTHER).await;
        browser.click("form[action='/profile/password'] button").await;
        browser.shows("main .error", "Is not your password").await;
        browser.said().await;
        browser.fill("#current_password", PASSWORD).await;
        browser.fill("#new_password", OTHER).await;
        browser.click("form[action='/profile/password'] button").await;
        browser.shows("main", "Your password is changed").await;
        other.goto(&profile).await;
        other.shows("h1", "Sign in").await;
        // The look comes along to where one signs in next.
        browser.click(".themes button[value=dark]").await;
        browser.find("html[data-theme=dark]").await;
        other.fill("#username", "admin").await;
        other.fill("#password", OTHER).await;
        other.click("form[action='/sign-in'] button").await;
        other.find("html[data-theme=dark]").await;
        browser.goto(&profile).await;
        browser.click("form[action='/profile/sessions'] button[value=others]").await;
        browser.shows("main", "Signed out there").await;
        other.goto(&profile).await;
        other.shows("h1", "Sign in").await;
        browser.assert_quiet("the profile").await;
    });
}

#[test]
fn every_page_about_accounts_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let mut last = String::new();
        for (name, role) in [
            ("olga", "operator"),
            ("a-name-that-is-as-long-as-names-may-be.without-any-place-to-wrap", "viewer"),
        ] {
            let body = json!({
                "username": name, "email": format!("{name}@example.com"), "password": PASSWORD,
                "role": role,
            });
            let user = client.post("/api/v1/users", body).await.json(201);
            user["id"].as_str().unwrap().clone_into(&mut last);
        }
        for (path, name) in [
            ("/users".to_owned(), "users"),
            ("/users?q=olga&role=viewer&state=no-two-factor".to_owned(), "users-none"),
            ("/users/new".to_owned(), "user-new"),
            (format!("/users/{last}?saved"), "user"),
        ] {
            look(&browser, &format!("{}{path}", server.url()), name).await;
        }
        browser.view(1280, Scheme::Light).await;
        browser.goto(&format!("{}/users/{last}", server.url())).await;
        browser.click("button.danger").await;
        browser.shows("h1", "disabled").await;
    });
}
