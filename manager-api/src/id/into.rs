//! The traits by which names are passed: as text, or validated.

use super::{EventName, IdempotencyKey, NamespaceName};
use crate::Error;
#[cfg(doc)]
use crate::ErrorKind;

macro_rules! into_name {
    ($name:ident, $trait:ident, $method:ident, $what:literal) => {
        #[doc = $what]
        ///
        /// An application may implement it for a type of its own, such as an enum of all its names.
        #[diagnostic::on_unimplemented(
            message = "`{Self}` is not a name",
            note = "`&str`, `String` and a validated name, owned or by reference, are names"
        )]
        pub trait $trait {
            /// Returns the validated name.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Config`] if it is text that is not valid.
            fn $method(self) -> Result<$name, Error>;
        }

        impl $trait for &str {
            fn $method(self) -> Result<$name, Error> {
                $name::new(self)
            }
        }

        impl $trait for String {
            fn $method(self) -> Result<$name, Error> {
                $name::new(&self)
            }
        }

        impl $trait for &String {
            fn $method(self) -> Result<$name, Error> {
                $name::new(self)
            }
        }

        impl $trait for $name {
            fn $method(self) -> Result<$name, Error> {
                Ok(self)
            }
        }

        impl $trait for &$name {
            fn $method(self) -> Result<$name, Error> {
                Ok(self.clone())
            }
        }
    };
}

into_name!(
    EventName,
    IntoEventName,
    into_event_name,
    "The name of an event: text, which is validated, or an [`EventName`], which is not validated again."
);
into_name!(
    NamespaceName,
    IntoNamespaceName,
    into_namespace_name,
    "The name of a namespace: text, which is validated, or a [`NamespaceName`], which is not validated again."
);
into_name!(
    IdempotencyKey,
    IntoIdempotencyKey,
    into_idempotency_key,
    "The key of an event: text, which is validated, or an [`IdempotencyKey`], which is not validated again."
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_validated_name_is_not_validated_again() {
        let (event, namespace) = (EventName::new("news").unwrap(), NamespaceName::new("/chat").unwrap());
        // A second validation would copy the text.
        let is_same = |one: &str, other: &str| std::ptr::eq(one.as_ptr(), other.as_ptr());
        let again = (&event).into_event_name().unwrap();
        assert!(
            is_same(again.as_str(), event.as_str())
                && is_same(again.into_event_name().unwrap().as_str(), event.as_str())
        );
        let again = (&namespace).into_namespace_name().unwrap();
        assert!(is_same(again.as_str(), namespace.as_str()));
        assert!(is_same(
            again.into_namespace_name().unwrap().as_str(),
            namespace.as_str()
        ));
    }

    #[test]
    fn text_is_a_name_if_it_is_valid() {
        for name in [
            "news".into_event_name(),
            "news".to_owned().into_event_name(),
            (&"news".to_owned()).into_event_name(),
        ] {
            assert_eq!(name.unwrap(), "news");
        }
        for name in [
            "/a".into_namespace_name(),
            "/a".to_owned().into_namespace_name(),
            (&"/a".to_owned()).into_namespace_name(),
        ] {
            assert_eq!(name.unwrap(), "/a");
        }
        assert_eq!("connect".into_event_name().unwrap_err().kind(), ErrorKind::Config);
        assert_eq!("a".into_namespace_name().unwrap_err().kind(), ErrorKind::Config);
    }
}
