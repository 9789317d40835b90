//! `sio token`: makes tokens, and shows what they say and whether a server accepts them.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::access::{Grants, Pattern, TokenFault, Verified};
use manager_api::Room;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;
use crate::plan::{TokenCheckPlan, TokenGenPlan, TokenPlan, in_words};

/// Prints a token, or what one says.
pub(super) fn run(plan: &TokenPlan) -> Result<(), Failure> {
    match plan {
        TokenPlan::Gen(plan) => make(plan),
        TokenPlan::Check(plan) => check(plan),
    }
}

/// Signs the claims, and prints the token.
fn make(plan: &TokenGenPlan) -> Result<(), Failure> {
    let token = plan.key.sign(&plan.claims);
    output::print_line(&token.map_err(|error| Failure::input(error.to_string()))?)
}

/// Prints what a token says, and fails if it is refused.
fn check(plan: &TokenCheckPlan) -> Result<(), Failure> {
    let verified =
        plan.verifier
            .verify(&plan.token)
            .and_then(|verified| match verified.grants.is_for(&plan.namespace) {
                true => Ok(verified),
                false => Err(TokenFault::Namespace),
            });
    let text = match plan.json {
        true => as_json(&plan.token, &verified),
        false => as_text(&plan.token, &verified),
    };
    output::print_line(&text)?;
    verified
        .map(drop)
        .map_err(|fault| Failure::broker(format!("the token is refused: {fault}")))
}

/// Returns a report as one line of JSON.
fn as_json(token: &str, verified: &Result<Verified, TokenFault>) -> String {
    let report = json!({
        "ok": verified.is_ok(),
        "reason": verified.as_ref().err().map(TokenFault::code),
        "detail": verified.as_ref().err().map(ToString::to_string),
        "header": part(token, 0),
        "claims": part(token, 1),
    });
    output::json_line(report.to_string())
}

/// Returns a report for people.
fn as_text(token: &str, verified: &Result<Verified, TokenFault>) -> String {
    let shown = |name: &str, index: usize| {
        let json = part(token, index).map_or_else(|| "unreadable".to_owned(), |value| value.to_string());
        format!("{name:<11}{}", output::json_line(json))
    };
    let mut lines = vec![shown("header", 0), shown("claims", 1)];
    match verified {
        Ok(verified) => lines.extend(granted(&verified.grants)),
        Err(fault) if fault.is_signed() => lines.push(format!("checked    no: {fault}")),
        Err(_) => lines.push("checked    no: what stands above may be anyone's".to_owned()),
    }
    lines.join("\n")
}

/// Returns lines about what a good token allows.
fn granted(grants: &Grants) -> Vec<String> {
    let expires = match grants.expires() {
        Some(at) => in_words(at, SystemTime::now()),
        None => "never".to_owned(),
    };
    let list = |names: Vec<&str>| match names.is_empty() {
        true => "nothing".to_owned(),
        false => output::json_line(json!(names).to_string()),
    };
    let patterns = |patterns: &[Pattern]| list(patterns.iter().map(Pattern::as_str).collect());
    let enters = list(grants.enter().iter().map(Room::as_str).collect());
    let may_emit = grants
        .publish()
        .map_or_else(|| "where it may join".to_owned(), patterns);
    let namespaces = grants.namespaces().map_or_else(|| "all".to_owned(), patterns);
    vec![
        "checked    good".to_owned(),
        format!("expires    {expires}"),
        format!("enters     {enters}"),
        format!("may join   {}", patterns(grants.join())),
        format!("may emit   {may_emit}"),
        format!("namespaces {namespaces}"),
    ]
}

/// Reads a part of a token, which nothing vouches for.
fn part(token: &str, index: usize) -> Option<Value> {
    let encoded = token.split('.').nth(index)?;
    let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    serde_json::from_slice(&json).ok()
}
