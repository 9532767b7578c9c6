//! Planes: which side of the server a route stands on, and which tokens open that side.
//!
//! A token that reaches everything is a token whose loss costs everything. So the operator may give each
//! plane a token of its own; a plane that has one takes no other, and one that has none takes that of the
//! data plane.

use std::{fmt, net::IpAddr};

use crate::{
    identity::Identity,
    peer::{OpenBind, is_loopback},
    token::{AuthError, Digest32, TokenAuthority, presented},
};

/// The side of the server on which a route stands. It is a property of the route, like its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// What anyone may ask: whether the server lives, is ready, and its numbers.
    Open,
    /// What clients do: tasks, sessions, artifacts, and what they need to know for that.
    Data,
    /// What operators do: whatever changes the state that they own, and what only they need to see.
    Control,
    /// What nodes do: they register, report and leave.
    Node,
}

impl Plane {
    /// The planes that ask for a token.
    pub const GUARDED: [Self; 3] = [Self::Data, Self::Control, Self::Node];

    /// Its name in messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Data => "data",
            Self::Control => "control",
            Self::Node => "node",
        }
    }

    /// Whether the loopback exemption holds here. A node brings work to strangers' prompts, so it shows its
    /// token from everywhere.
    pub const fn heeds_loopback(self) -> bool {
        matches!(self, Self::Data | Self::Control)
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tokens of all planes. Each may have several, so that a new one works before the old one goes.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    /// The tokens of the data plane, and of every plane without one of its own.
    pub api: Vec<TokenAuthority>,
    /// Those of the control plane.
    pub control: Vec<TokenAuthority>,
    /// Those of the node plane.
    pub node: Vec<TokenAuthority>,
}

impl Authorities {
    /// The tokens that `plane` takes. None means that it asks for none.
    fn of(&self, plane: Plane) -> &[TokenAuthority] {
        match plane {
            Plane::Open => &[],
            Plane::Control if !self.control.is_empty() => &self.control,
            Plane::Node if !self.node.is_empty() => &self.node,
            Plane::Data | Plane::Control | Plane::Node => &self.api,
        }
    }

    /// Whether `plane` asks for a token.
    pub fn asks(&self, plane: Plane) -> bool {
        !self.of(plane).is_empty()
    }

    /// Holds the value of an `Authorization` header against the tokens of `plane`.
    ///
    /// All tokens of all planes are compared before anything is decided, so the time says neither which
    /// one was near nor how many there are in front of it.
    ///
    /// # Errors
    /// [`AuthError::WrongPlane`] for a token that opens only another plane; else as
    /// [`TokenAuthority::check`].
    //= AUTH-1010
    pub fn check(&self, plane: Plane, header: Option<&[u8]>) -> Result<Identity, AuthError> {
        if !self.asks(plane) {
            return Ok(Identity::Localhost);
        }
        let presented = presented(header)?;
        let here = holder(self.of(plane), &presented);
        let everywhere = [&self.api, &self.control, &self.node].map(|tokens| holder(tokens, &presented));
        let elsewhere = everywhere.iter().flatten().count() > 0;
        here.ok_or(if elsewhere { AuthError::WrongPlane } else { AuthError::Bad })
    }

    /// Whether the server may listen on `addr` with these tokens.
    ///
    /// # Errors
    /// When other machines could reach `addr` and a plane has no token.
    //= AUTH-1004
    pub fn check_bind(&self, addr: IpAddr) -> Result<(), OpenBind> {
        let covered = Plane::GUARDED.iter().all(|plane| self.asks(*plane));
        if covered || is_loopback(addr) { Ok(()) } else { Err(OpenBind { addr }) }
    }
}

/// Who presented one of `tokens`.
//= AUTH-1001
fn holder(tokens: &[TokenAuthority], presented: &Digest32) -> Option<Identity> {
    // A plane without tokens of its own answers no sooner than one that has a token.
    let dummy = TokenAuthority::nobody();
    let mut found = None;
    for token in tokens.iter().chain(tokens.is_empty().then_some(&dummy)) {
        if token.is(presented) {
            found = Some(token.identity());
        }
    }
    found.filter(|_| !tokens.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(letters: &str) -> Vec<TokenAuthority> {
        letters.chars().map(|letter| TokenAuthority::new(&token(letter)).unwrap()).collect()
    }

    fn token(letter: char) -> String {
        String::from(letter).repeat(32)
    }

    fn check(authorities: &Authorities, plane: Plane, letter: char) -> Result<(), AuthError> {
        let header = format!("Bearer {}", token(letter));
        let expected = TokenAuthority::new(&token(letter)).unwrap().identity();
        authorities.check(plane, Some(header.as_bytes())).map(|identity| assert_eq!(identity, expected))
    }

    //= AUTH-1010 type=test
    // X07
    #[test]
    fn each_plane_takes_its_own_tokens_and_says_when_one_is_for_another() {
        let all = Authorities { api: tokens("a"), control: tokens("c"), node: tokens("n") };
        for (plane, own) in [(Plane::Data, 'a'), (Plane::Control, 'c'), (Plane::Node, 'n')] {
            for letter in ['a', 'c', 'n'] {
                let expected = if letter == own { Ok(()) } else { Err(AuthError::WrongPlane) };
                assert_eq!(check(&all, plane, letter), expected, "{letter} at {plane}");
            }
            assert_eq!(check(&all, plane, 'x'), Err(AuthError::Bad));
            assert_eq!(all.check(plane, None), Err(AuthError::Missing));
        }
    }

    #[test]
    fn a_plane_without_a_token_of_its_own_takes_that_of_the_data_plane() {
        let one = Authorities { api: tokens("a"), ..Authorities::default() };
        let two = Authorities { api: tokens("a"), control: tokens("c"), ..Authorities::default() };
        for plane in Plane::GUARDED {
            assert_eq!(check(&one, plane, 'a'), Ok(()));
        }
        assert_eq!(check(&two, Plane::Node, 'a'), Ok(()));
        assert_eq!(check(&two, Plane::Node, 'c'), Err(AuthError::WrongPlane));
        assert_eq!(check(&two, Plane::Control, 'a'), Err(AuthError::WrongPlane));
    }

    #[test]
    fn two_tokens_of_a_plane_work_side_by_side() {
        let both = Authorities { api: tokens("ab"), ..Authorities::default() };
        for letter in ['a', 'b'] {
            assert_eq!(check(&both, Plane::Data, letter), Ok(()));
        }
        assert_eq!(check(&both, Plane::Data, 'o'), Err(AuthError::Bad));
    }

    // X04
    #[test]
    fn the_dummy_of_a_plane_without_tokens_opens_nothing() {
        assert_eq!(holder(&[], &TokenAuthority::nobody().digest()), None);
    }

    #[test]
    fn what_asks_for_no_token_lets_everyone_in_as_local() {
        let control = Authorities { control: tokens("c"), ..Authorities::default() };
        assert_eq!(control.check(Plane::Data, None), Ok(Identity::Localhost));
        assert_eq!(control.check(Plane::Open, Some(b"nonsense")), Ok(Identity::Localhost));
        assert_eq!(control.check(Plane::Control, None), Err(AuthError::Missing));
    }

    //= AUTH-1004 type=test
    #[test]
    fn an_address_that_others_reach_needs_a_token_for_every_plane() {
        let outside: IpAddr = "10.0.0.1".parse().unwrap();
        let partly = Authorities { control: tokens("c"), node: tokens("n"), ..Authorities::default() };
        assert_eq!(partly.check_bind(outside), Err(OpenBind { addr: outside }));
        assert_eq!(partly.check_bind("::1".parse().unwrap()), Ok(()));
        let covered = Authorities { api: tokens("a"), ..Authorities::default() };
        assert_eq!(covered.check_bind(outside), Ok(()));
    }
}
