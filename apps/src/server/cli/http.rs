//! Arguments of how the server is reached.

use std::net::IpAddr;

use clap::Args;

use crate::http::cors::Origin;
use crate::http::log::LogFormat;

/// How the server is reached.
#[derive(Debug, Args)]
pub struct HttpArgs {
    /// Address to listen on; one that others can reach needs a key first (`server keys add`)
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// A web page's origin that may call the server and show the widget, as https://shop.example; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,
    /// Connections that are served at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = super::positive)]
    pub connections: usize,
    /// Seconds until the first byte of an answer, at most
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Requests of a minute from one address without a key [default: not limited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: Option<u32>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}
