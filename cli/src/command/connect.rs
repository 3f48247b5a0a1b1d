//! `connect`.

use api::v1;

use crate::context::Context;
use crate::failure::Failure;
use crate::render::Tone;
use crate::resolve::{self, named};

/// Connect to a peer, and stay connected.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// The peer as ID@HOST:PORT; one that was met before also by its alias or the beginning of its id.
    peer: String,
}

/// A peer as it is typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed<'a> {
    /// Its id, or what stands for it.
    pub(super) id: &'a str,
    /// Where it is, if that was said.
    pub(super) address: Option<&'a str>,
}

/// Takes `ID@HOST:PORT` apart.
pub(super) fn typed(text: &str) -> Typed<'_> {
    match text.split_once('@') {
        Some((id, address)) => Typed { id, address: Some(address) },
        None => Typed { id: text, address: None },
    }
}

impl Connect {
    pub(crate) async fn run(self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Typed { id, address } = typed(&self.peer);
        let node_id = resolve::peer(cx, id).await?;
        let address = address.map(str::to_owned).or_else(|| resolve::address(cx, &node_id));
        let ask = v1::ConnectPeerRequest {
            idempotency_key: cx.key()?,
            node_id,
            address,
            timeout_ms: None,
        };
        let done =
            cx.client.call(ask, |to, ask| async move { to.node().connect_peer(ask).await }).await?;
        let mut done = done;
        if let Some(peer) = &mut done.peer {
            cx.name(&mut peer.alias, &peer.node_id);
        }
        cx.screen.result(
            &done,
            |done| done.peer.iter().map(|peer| peer.node_id.clone()).collect(),
            |screen, done| {
                let mark = screen.paint(Tone::Good, "✓");
                let peer = done.peer.clone().unwrap_or_default();
                let how =
                    if done.already_connected { "was connected already" } else { "connected" };
                format!("{mark} {} {how}, at {}", named(&peer.alias, &peer.node_id), peer.address)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_stand_behind_the_id() {
        assert_eq!(typed("02ab@[::1]:9735"), Typed { id: "02ab", address: Some("[::1]:9735") });
        assert_eq!(typed("bob"), Typed { id: "bob", address: None });
    }
}
