//! The bearer check: what is kept of the token, and how a header is held against it.
//!
//! Both sides are hashed before they are compared, so the comparison always covers 32 bytes, whatever
//! was sent; that and a comparison without early exit leave a guesser nothing to time.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::identity::{Fingerprint, Identity};

/// The fewest characters of a token that the server accepts as its own.
pub const TOKEN_CHARS_MIN: usize = 32;
/// The most bytes that are read of what a client presents.
const CREDENTIAL_BYTES_MAX: usize = 8192;
const SCHEME: &[u8] = b"Bearer ";

/// Why a request is not let in. It says nothing about how near the guess was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no `Authorization` header.
    #[error("no bearer token was given")]
    Missing,
    /// There is one, but it is malformed or holds another token.
    #[error("the bearer token is not valid")]
    Bad,
    /// The token is valid, but opens another plane; only [`crate::Authorities`] say so.
    #[error("the bearer token is for another plane")]
    WrongPlane,
}

/// Why a token cannot be the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnusableToken {
    /// It can be guessed.
    #[error("the token has {chars} characters and needs at least {TOKEN_CHARS_MIN}")]
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// No client could present it whole.
    #[error("the token has more than {CREDENTIAL_BYTES_MAX} bytes")]
    TooLong,
    /// It would not survive the trip through a header unchanged.
    #[error("the token holds a character other than visible ASCII")]
    Unprintable,
}

/// What a token or what is presented as one is compared by.
pub(crate) type Digest32 = [u8; 32];

/// The one who knows whether a token is the right one, without knowing the token.
#[derive(Clone)]
pub struct TokenAuthority {
    digest: Digest32,
}

impl TokenAuthority {
    /// The authority for `token`, which may be forgotten afterwards.
    ///
    /// # Errors
    /// When the token is too weak, too long, or cannot stand in a header.
    pub fn new(token: &str) -> Result<Self, UnusableToken> {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UnusableToken::Unprintable);
        }
        //= AUTH-1006
        if token.len() < TOKEN_CHARS_MIN {
            return Err(UnusableToken::TooShort { chars: token.len() });
        }
        if token.len() > CREDENTIAL_BYTES_MAX {
            return Err(UnusableToken::TooLong);
        }
        Ok(Self { digest: Sha256::digest(token.as_bytes()).into() })
    }

    /// The name of whoever holds the token.
    pub const fn identity(&self) -> Identity {
        Identity::Token(Fingerprint::from_digest(&self.digest))
    }

    /// Holds the value of an `Authorization` header against the token.
    ///
    /// A request with several such headers has none that counts: the edge passes what it has as one
    /// value, or refuses before it asks.
    ///
    /// # Errors
    /// [`AuthError::Missing`] without a header, [`AuthError::Bad`] with any header but the right one.
    pub fn check(&self, header: Option<&[u8]>) -> Result<Identity, AuthError> {
        if self.is(&presented(header)?) { Ok(self.identity()) } else { Err(AuthError::Bad) }
    }

    //= AUTH-1001
    pub(crate) fn is(&self, presented: &Digest32) -> bool {
        presented.ct_eq(&self.digest).into()
    }

    /// Someone to compare with where there is nobody. No text is known that has this digest.
    pub(crate) const fn nobody() -> Self {
        Self { digest: [0; 32] }
    }

    #[cfg(test)]
    pub(crate) const fn digest(&self) -> Digest32 {
        self.digest
    }
}

/// The digest of the credential in an `Authorization` header.
pub(crate) fn presented(header: Option<&[u8]>) -> Result<Digest32, AuthError> {
    let credential = credential(header.ok_or(AuthError::Missing)?)?;
    Ok(Sha256::digest(credential).into())
}

impl fmt::Debug for TokenAuthority {
    //= AUTH-1007
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenAuthority").field(&format_args!("{}", self.identity())).finish()
    }
}

//= AUTH-1005
fn credential(header: &[u8]) -> Result<&[u8], AuthError> {
    let credential = header.strip_prefix(SCHEME).ok_or(AuthError::Bad)?;
    let sized = (1..=CREDENTIAL_BYTES_MAX).contains(&credential.len());
    if sized && !credential.iter().any(u8::is_ascii_control) { Ok(credential) } else { Err(AuthError::Bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn authority() -> TokenAuthority {
        TokenAuthority::new(TOKEN).unwrap()
    }

    fn check(header: &[u8]) -> Result<Identity, AuthError> {
        authority().check(Some(header))
    }

    //= AUTH-1001 type=test
    #[test]
    fn only_the_whole_token_is_let_in() {
        assert_eq!(check(format!("Bearer {TOKEN}").as_bytes()), Ok(authority().identity()));
        for end in 0..TOKEN.len() {
            assert_eq!(check(format!("Bearer {}", &TOKEN[..end]).as_bytes()), Err(AuthError::Bad));
        }
        assert_eq!(check(format!("Bearer {TOKEN}0").as_bytes()), Err(AuthError::Bad));
        assert_eq!(check(format!("Bearer {}", TOKEN.to_uppercase()).as_bytes()), Err(AuthError::Bad));
    }

    #[test]
    fn no_header_is_missing_and_not_bad() {
        assert_eq!(authority().check(None), Err(AuthError::Missing));
    }

    //= AUTH-1005 type=test
    #[test]
    fn the_scheme_is_bearer_and_one_space_and_nothing_like_it() {
        for prefix in
            ["", "Bearer", "bearer ", "BEARER ", "Bearer  ", " Bearer ", "Bearer\t", "Basic ", "Bearer: "]
        {
            assert_eq!(check(format!("{prefix}{TOKEN}").as_bytes()), Err(AuthError::Bad), "{prefix:?}");
        }
        assert_eq!(check(format!("Bearer {TOKEN} ").as_bytes()), Err(AuthError::Bad));
        assert_eq!(check(b""), Err(AuthError::Bad));
    }

    //= AUTH-1005 type=test
    #[test]
    fn a_credential_has_1_to_8192_bytes_without_control_characters() {
        let of = |length: usize| [SCHEME, &vec![b'a'; length][..]].concat();
        assert_eq!(credential(&of(0)), Err(AuthError::Bad));
        assert_eq!(credential(&of(1)), Ok(&b"a"[..]));
        assert_eq!(credential(&of(8192)).map(<[u8]>::len), Ok(8192));
        assert_eq!(credential(&of(8193)), Err(AuthError::Bad));
        for control in (0..0x20).chain([0x7f]) {
            assert_eq!(
                credential(&[SCHEME, &[b'a', control, b'b']].concat()),
                Err(AuthError::Bad),
                "{control:#x}"
            );
        }
    }

    //= AUTH-1006 type=test
    #[test]
    fn a_token_of_31_characters_is_refused_and_one_of_32_is_not() {
        let short = TokenAuthority::new(&TOKEN[..31]);
        assert_eq!(short.unwrap_err(), UnusableToken::TooShort { chars: 31 });
        assert!(TokenAuthority::new(TOKEN).is_ok());
    }

    #[test]
    fn a_token_that_no_header_carries_unchanged_is_refused() {
        for odd in [" ", "\n", "é", "\u{7f}"] {
            let refusal = TokenAuthority::new(&format!("{TOKEN}{odd}"));
            assert_eq!(refusal.unwrap_err(), UnusableToken::Unprintable, "{odd:?}");
        }
        assert_eq!(TokenAuthority::new(&"a".repeat(8193)).unwrap_err(), UnusableToken::TooLong);
    }

    //= AUTH-1007 type=test
    #[test]
    fn neither_debug_nor_an_error_shows_the_token() {
        let shown = format!("{:?}", authority());
        assert_eq!(shown, format!("TokenAuthority({})", authority().identity()));
        let secret = "hunter2";
        let refusal = TokenAuthority::new(secret).unwrap_err();
        assert!(!format!("{refusal:?} {refusal}").contains(secret));
    }
}
