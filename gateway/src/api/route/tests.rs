//! The description of the API says what the code does: the same paths, parameters, fields and codes.

use std::collections::BTreeSet;

use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use manager_api::cluster::Receipt;
use serde::Serialize;
use serde_json::{Value, json};
use socket_io::SocketIo;

use crate::api::disconnect::{self, Disconnected};
use crate::api::emit::{self, Emitted, ReceiptBody, ServerBody};
use crate::api::inspect::{ClientBody, ROOMS_PARAMETERS, RoomBody, Rooms, Servers, WHO_PARAMETERS, Who};
use crate::api::problem::{Code, Problem};
use crate::api::route::{self, ROUTES, Route};
use crate::api::tests::{api, ask};
use crate::api::{ApiConfig, OPENAPI};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    let object = object.as_object().unwrap_or_else(|| panic!("not an object: {object}"));
    object.keys().cloned().collect()
}

#[test]
fn it_names_every_route_with_its_method_and_whether_it_needs_a_key() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["servers"][0]["url"], ApiConfig::default().path);
    let paths = &document["paths"];
    assert_eq!(keys(paths), names(ROUTES.map(|(path, ..)| path)));
    for (path, method, route) in ROUTES {
        assert_eq!(keys(&paths[path]), names([method.to_lowercase().as_str()]), "{path}");
        let operation = &paths[path][method.to_lowercase()];
        let needs_key = operation.get("security").is_none();
        assert_eq!(needs_key, route != Route::OpenApi, "{path}");
        assert!(matches!(route::find(&method.parse().unwrap(), path), Ok(found) if found == route));
    }
    for (path, parameters) in [("/rooms", ROOMS_PARAMETERS), ("/who", WHO_PARAMETERS)] {
        let described = paths[path]["get"]["parameters"].as_array().unwrap();
        let described = described.iter().map(|parameter| parameter["name"].as_str().unwrap());
        assert_eq!(names(described), names(parameters), "{path}");
    }
}

#[test]
fn it_names_every_field_of_every_body() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (schema, fields) in [("Event", &emit::FIELDS[..]), ("Disconnect", &disconnect::FIELDS)] {
        assert_eq!(
            keys(&schemas[schema]["properties"]),
            names(fields.iter().copied()),
            "{schema}"
        );
        assert_eq!(schemas[schema]["additionalProperties"], false, "{schema}");
    }
    let (written, mut seen) = (answers(), names(["Event", "Disconnect", "Room"]));
    for (schema, answer) in written {
        assert_eq!(keys(&schemas[schema]["properties"]), keys(&answer), "{schema}");
        seen.insert(schema.to_owned());
    }
    assert_eq!(keys(schemas), seen, "each schema is looked at");
}

/// An answer of each kind with all of its fields.
fn answers() -> Vec<(&'static str, Value)> {
    fn value<T: Serialize>(of: T) -> Value {
        serde_json::to_value(of).unwrap()
    }
    let servers = || Servers {
        servers: 1,
        missing_servers: Vec::new(),
        truncated: false,
    };
    let emitted = Emitted {
        accepted: 1,
        receipts: Some(vec![Some(ReceiptBody::from(Receipt::default()))]),
    };
    let problem = Problem::field(Code::Invalid, "a", "b").at(Some(1)).after(1);
    let server = ServerBody {
        server: String::new(),
        clients: 0,
    };
    let room = RoomBody {
        room: json!("a"),
        clients: 1,
    };
    let client = ClientBody {
        id: String::new(),
        rooms: Vec::new(),
        server: String::new(),
        connected_seconds: None,
        transport: None,
        data: None,
    };
    vec![
        ("Emitted", value(emitted)),
        ("Receipt", value(ReceiptBody::from(Receipt::default()))),
        ("ServerReceipt", value(server)),
        ("Disconnected", value(Disconnected { accepted: true })),
        ("RoomSize", value(room)),
        ("Client", value(client)),
        (
            "Rooms",
            value(Rooms {
                rooms: Vec::new(),
                servers: servers(),
            }),
        ),
        (
            "Who",
            value(Who {
                clients: Vec::new(),
                servers: servers(),
            }),
        ),
        ("Problem", value(problem)),
    ]
}

#[test]
fn the_fields_that_it_demands_are_those_that_the_code_demands() {
    let config = ApiConfig::default();
    let whole = json!({
        "event": "e", "namespace": "/a", "rooms": ["r", 7], "except": "x", "skip": ["s"], "args": [1], "data": 1, "volatile": true,
        "compress": false, "receipt": true, "timeout": 2.5, "idempotency_key": "k",
    });
    let document = document();
    let schema = &document["components"]["schemas"]["Event"];
    assert_eq!(keys(&whole), keys(&schema["properties"]));
    let required = schema["required"].as_array().unwrap();
    for field in emit::FIELDS {
        let mut event = whole.clone();
        event.as_object_mut().unwrap().remove(field);
        if field != "args" {
            // Not both of them.
            event.as_object_mut().unwrap().remove("data");
        }
        let is_required = required.contains(&json!(field));
        assert_eq!(
            emit::read(&HeaderMap::new(), &event.to_string(), &config).is_err(),
            is_required,
            "{field}"
        );
    }
    let example = &document["paths"]["/emit"]["post"]["requestBody"]["content"]["application/json"]["example"];
    assert!(emit::read(&HeaderMap::new(), &example.to_string(), &config).is_ok());
    let example = &document["paths"]["/disconnect"]["post"]["requestBody"]["content"]["application/json"]["example"];
    assert!(disconnect::read(&example.to_string(), &config).is_ok());
}

#[test]
fn it_names_every_code_of_a_problem_and_every_reference_leads_somewhere() {
    let document = document();
    let described = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let described = names(described.as_array().unwrap().iter().map(|code| code.as_str().unwrap()));
    let used = Code::ALL.iter().map(|code| serde_json::to_value(code).unwrap());
    let used: BTreeSet<String> = used.map(|code| code.as_str().unwrap().to_owned()).collect();
    assert_eq!(described, used);
    let text = OPENAPI;
    let references = text
        .split("\"$ref\": \"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let references: Vec<_> = references.collect();
    assert!(references.len() > 20);
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn it_is_served_without_a_key() {
    let request = Request::get("/api/openapi.json").body(Full::default()).unwrap();
    let answer = ask(&api(&SocketIo::new()), request).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &document()));
}
