//! The routes: which request is for which operation.

use http::{Method, StatusCode};

use super::key::Operation;
use super::problem::{Code, Problem};

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Operation(Operation),
    /// The description, which needs no key.
    OpenApi,
}

/// Each path below that of the API, with its method.
pub(super) const ROUTES: [(&str, &str, Route); 5] = [
    ("/emit", "POST", Route::Operation(Operation::Emit)),
    ("/disconnect", "POST", Route::Operation(Operation::Disconnect)),
    ("/rooms", "GET", Route::Operation(Operation::Rooms)),
    ("/who", "GET", Route::Operation(Operation::Who)),
    ("/openapi.json", "GET", Route::OpenApi),
];

/// Finds the route of a path below that of the API.
pub(super) fn find(method: &Method, path: &str) -> Result<Route, Problem> {
    let Some((_, wanted, route)) = ROUTES.iter().find(|(known, ..)| *known == path) else {
        let paths: Vec<&str> = ROUTES.iter().map(|(known, ..)| *known).collect();
        let detail = format!("unknown path; known are {}", paths.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail));
    };
    match method == *wanted {
        true => Ok(*route),
        false => {
            let detail = format!("this path is for {wanted}");
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, detail).allow(wanted))
        }
    }
}

#[cfg(test)]
mod tests;
