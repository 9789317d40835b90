//! ClientManager over Redis publish/subscribe.
