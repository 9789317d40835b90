//! A long-polling client with one connection per request, from an address of its choice.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::http::{self, Response};

pub(super) async fn get(address: SocketAddr, path: &str) -> Response {
    let response = http::request(Ipv4Addr::LOCALHOST, address, "GET", path, "", "").await;
    response.unwrap()
}

/// A client in `/`.
pub(super) struct Poller {
    from: Ipv4Addr,
    address: SocketAddr,
    path: String,
    cookie: Option<String>,
    /// Whole lines, in every request.
    headers: String,
}

impl Poller {
    /// Connects; keeps the cookie that it is given, if `keeps_cookies`.
    pub(super) async fn connect(from: Ipv4Addr, address: SocketAddr, keeps_cookies: bool) -> Result<Self, u16> {
        Self::new(from, address, "").open(keeps_cookies).await
    }

    /// Connects with more headers, as whole lines.
    pub(super) async fn connect_saying(from: Ipv4Addr, address: SocketAddr, headers: &str) -> Result<Self, u16> {
        Self::new(from, address, headers).open(false).await
    }

    fn new(from: Ipv4Addr, address: SocketAddr, headers: &str) -> Self {
        Self {
            from,
            address,
            path: "/socket.io/?EIO=4&transport=polling".to_owned(),
            cookie: None,
            headers: headers.to_owned(),
        }
    }

    async fn open(self, keeps_cookies: bool) -> Result<Self, u16> {
        let mut poller = self;
        let opened = poller.request("GET", "").await?;
        if keeps_cookies {
            let cookie = opened.head.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
            poller.cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        }
        let sid = opened
            .body
            .strip_prefix("0{\"sid\":\"")
            .and_then(|rest| rest.split('"').next());
        poller.path += &format!("&sid={}", sid.expect(&opened.body));
        poller.request("POST", "40").await?;
        poller.packet("40").await?;
        Ok(poller)
    }

    /// Returns the number of the process that answers, or the status with which a request was refused.
    pub(super) async fn who(&mut self) -> Result<u32, u16> {
        let answer = self.ask("who").await?;
        Ok(answer[1..answer.len() - 1].parse().expect(&answer))
    }

    /// Returns the answer to an event, as JSON, or the status with which a request was refused.
    pub(super) async fn ask(&mut self, event: &str) -> Result<String, u16> {
        self.request("POST", &format!("420[\"{event}\"]")).await?;
        self.packet("430").await
    }

    /// Returns the rest of the next packet that begins so.
    async fn packet(&mut self, start: &str) -> Result<String, u16> {
        loop {
            let polled = self.request("GET", "").await?;
            if let Some(rest) = polled.body.split('\x1e').find_map(|packet| packet.strip_prefix(start)) {
                return Ok(rest.to_owned());
            }
        }
    }

    async fn request(&self, method: &str, body: &str) -> Result<Response, u16> {
        let cookie = self.cookie.as_ref();
        let mut headers = cookie.map(|cookie| format!("cookie: {cookie}\r\n")).unwrap_or_default();
        headers += &self.headers;
        let response = http::request(self.from, self.address, method, &self.path, &headers, body).await;
        let response = response.unwrap();
        match response.status {
            200 => Ok(response),
            refused => Err(refused),
        }
    }
}
