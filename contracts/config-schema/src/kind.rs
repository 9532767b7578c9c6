//! The closed choices, each with the words by which files and logs know it.
//!
//! They are this crate's own types: the core has twins of some, and the composition root translates,
//! so that neither a file's spelling reaches the core nor the core's needs change the file.

use std::str::FromStr;

use thiserror::Error;

/// A word that names none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is not one of {}", .allowed.join(", "))]
pub struct UnknownWord {
    /// The words that there are.
    pub allowed: &'static [&'static str],
}

/// What every closed choice offers to the table of settings.
pub(crate) trait Choice: FromStr<Err = UnknownWord> {
    const WORDS: &'static [&'static str];
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word in files, flags and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { allowed: Self::WORDS }),
                }
            }
        }
    };
}

kind! {
    /// What speaks at the other end of a pool.
    EngineKind {
        /// A llama.cpp server.
        Llamacpp = "llamacpp",
        /// A vLLM server.
        Vllm = "vllm",
        /// A Text Generation Inference server.
        Tgi = "tgi",
        /// Any server that speaks `OpenAI`'s dialect.
        OpenAi = "openai",
        /// The in-process double, for trying things out.
        Mock = "mock",
    }
}
kind! {
    /// What happens to a job that comes when the queue is full.
    AdmissionPolicy {
        /// It is refused.
        Reject = "reject",
        /// The oldest queued batch job makes room.
        DropLru = "drop-lru",
    }
}
kind! {
    /// Which traces are recorded, by the usual names.
    TraceSampler {
        /// What the caller has decided; without a caller, all.
        ParentBasedAlwaysOn = "parentbased_always_on",
        /// What the caller has decided; without a caller, none.
        ParentBasedAlwaysOff = "parentbased_always_off",
        /// What the caller has decided; without a caller, a part.
        ParentBasedRatio = "parentbased_traceidratio",
        /// All.
        AlwaysOn = "always_on",
        /// None.
        AlwaysOff = "always_off",
        /// A part.
        Ratio = "traceidratio",
    }
}
kind! {
    /// How a replica is chosen.
    PlacementKind {
        /// The one with the most free VRAM, then with the fewest active streams.
        LeastLoaded = "least-loaded",
        /// One after the other.
        RoundRobin = "round-robin",
    }
}
kind! {
    /// Which devices may be used at all.
    GpuPolicy {
        /// Nothing is placed on a pool that says `cpu`.
        VramOnly = "vram-only",
        /// CPU pools are used too: for development.
        AllowCpu = "allow-cpu",
    }
}
kind! {
    /// What becomes of a field of `OpenAI`'s API that this server does not know.
    ExtraFields {
        /// It goes on to the engine.
        Pass = "pass",
        /// The request is refused.
        Refuse = "refuse",
    }
}
kind! {
    /// The shape of a log line.
    LogFormat {
        /// One flat JSON object.
        Json = "json",
        /// For eyes.
        Pretty = "pretty",
    }
}
kind! {
    /// Whether peers on this machine need the token. The words are those of `AUTH_OPTIONAL`.
    LoopbackRule {
        /// They need it like everyone.
        TokenNeeded = "false",
        /// They may leave it out.
        TokenOptional = "true",
    }
}
kind! {
    /// Whether the operator vouches for a proxy. The words are those of `TRUST_PROXY_AUTH`.
    ProxyTrust {
        /// No.
        Withheld = "false",
        /// Yes.
        Given = "true",
    }
}

kind! {
    /// What remembers jobs.
    StoreKind {
        /// A database in the state folder.
        Sqlite = "sqlite",
        /// Nothing that outlives the process.
        Memory = "memory",
    }
}
kind! {
    /// What a start does when the store is damaged. The words are those of `ORCHD_REPAIR`.
    OnDamage {
        /// It is refused.
        Refuse = "false",
        /// It goes on with what is intact.
        Repair = "true",
    }
}
kind! {
    /// How much must be known of a model before it is used.
    TrustRule {
        /// Nothing, as long as nothing speaks against it.
        Permissive = "permissive",
        /// It is in the catalog, its file was verified, and a trusted key signed it.
        Strict = "strict",
    }
}
kind! {
    /// Whether the server may fetch models from the network.
    Outbound {
        /// It opens no connection but those to engines.
        Off = "off",
        /// It may, from the hosts that are listed.
        Allow = "allow",
    }
}
kind! {
    /// What of a task that ended is kept as its transcript.
    Transcripts {
        /// Nothing.
        Off = "off",
        /// The answer; of the prompt only its length and digest.
        Redacted = "redacted",
        /// Prompt and answer.
        On = "on",
    }
}
kind! {
    /// Whether an engine must have said something before it counts as ready. The words are those of `warm_up`.
    WarmUp {
        /// It is ready once it says that it is.
        Skip = "false",
        /// It is ready once it made a token.
        OneToken = "true",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_back_from_its_word() {
        for engine in EngineKind::ALL {
            assert_eq!(engine.as_str().parse(), Ok(*engine));
        }
        for policy in AdmissionPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(*policy));
        }
    }

    #[test]
    fn a_word_in_another_case_is_another_word() {
        let unknown = "LLAMACPP".parse::<EngineKind>().unwrap_err();
        assert_eq!(unknown.to_string(), "is not one of llamacpp, vllm, tgi, openai, mock");
    }
}
