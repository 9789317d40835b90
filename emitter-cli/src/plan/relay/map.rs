//! The mapping of `relay`: by templates, or objects as in `emit --lines`.

use manager_api::source::Record;
use manager_api::{NamespaceName, Room};
use relay::{BodyKind, Map, MapConfig, Mapped, Mapping, Unmapped, check_whole};

use super::super::{Address, lines};
use crate::args::{BodyForm, MappingArgs};
use crate::failure::Failure;

/// What becomes of a record.
#[derive(Debug)]
pub(crate) enum MapPlan {
    Templates(Box<Mapping>),
    /// Records are objects; what they leave out is taken from the address.
    Objects(Address),
}

impl MapPlan {
    pub(super) fn new(args: &MappingArgs) -> Result<MapPlan, Failure> {
        let Some(event) = &args.event else {
            return objects(args);
        };
        let mut config = MapConfig::event(event);
        config.namespace = args.namespace.clone().unwrap_or(config.namespace);
        config.rooms.clone_from(&args.room);
        config.except.clone_from(&args.except_room);
        if !args.arg.is_empty() {
            config.args.clone_from(&args.arg);
        }
        config.body = match args.body {
            None | Some(BodyForm::Json) => BodyKind::Json,
            Some(BodyForm::Text) => BodyKind::Text,
            Some(BodyForm::Binary) => BodyKind::Binary,
        };
        config.key.clone_from(&args.key);
        let mapping = Mapping::new(&config).map_err(Failure::input)?;
        Ok(MapPlan::Templates(Box::new(mapping)))
    }
}

/// Without an event, records are objects, of which all but the names stands in the record.
fn objects(args: &MappingArgs) -> Result<MapPlan, Failure> {
    let unused = [
        ("--arg", !args.arg.is_empty()),
        ("--body", args.body.is_some()),
        ("--key", args.key.is_some()),
    ];
    if let Some((flag, _)) = unused.iter().find(|(_, is_given)| *is_given) {
        let text = format!("{flag} needs --event: without it each record is an object as in `emit --lines`");
        return Err(Failure::input(text));
    }
    let names = args.room.iter().chain(&args.except_room).chain(&args.namespace);
    if names.clone().any(|name| name.contains(['{', '}'])) {
        return Err(Failure::input(
            "templates need --event: without it each record is an object as in `emit --lines`",
        ));
    }
    if names.clone().any(String::is_empty) {
        return Err(Failure::input("the name of a room must not be empty"));
    }
    let namespace = args.namespace.as_deref().unwrap_or("/");
    Ok(MapPlan::Objects(Address {
        namespace: NamespaceName::new(namespace).map_err(|error| Failure::input(error.to_string()))?,
        rooms: args.room.iter().map(Room::from).collect(),
        except_rooms: args.except_room.iter().map(Room::from).collect(),
        ..Address::default()
    }))
}

impl Map for MapPlan {
    fn map(&self, record: &Record) -> Result<Mapped, Unmapped> {
        let address = match self {
            MapPlan::Templates(mapping) => return mapping.map(record),
            MapPlan::Objects(address) => address,
        };
        check_whole(record)?;
        let read = lines::addressed(&record.body, address).map_err(Unmapped::new)?;
        let (address, event, payload) = read.ok_or_else(|| Unmapped::new("it is blank"))?;
        let mut mapped = Mapped::new(event, payload);
        mapped.namespace = address.namespace;
        mapped.rooms = address.rooms;
        mapped.except = address.except_rooms;
        mapped.skip = address.except;
        mapped.volatile = address.volatile;
        mapped.key = address.key.map(|key| key.as_str().to_owned());
        Ok(mapped)
    }
}
