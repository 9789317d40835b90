//! Socket.IO v5 server that scales over processes by a ClientManager.
