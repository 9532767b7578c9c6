//! A task is refused by the name of a field, or taken in as what it comes back as from the store.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use orchestratord::fuzzing::Server;
use orchestratord_fuzz::{must_name_a_field, without_network};

fuzz_target!(|body: &[u8]| {
    match server().task(body) {
        Err(refused) => must_name_a_field(&refused),
        Ok((taken, again)) => {
            let taken = taken.expect("what is taken in has its order");
            let Some(kept) = &taken.kept else { return };
            let again = again.expect("what is kept comes back");
            assert_eq!(again, taken, "it comes back as something else");
            // What is kept is itself a request, and says the same.
            let (own, _) =
                server().task(kept.as_bytes()).unwrap_or_else(|refused| panic!("{refused:?}: {kept}"));
            assert_eq!(own.and_then(|own| own.kept).as_ref(), Some(kept));
        }
    }
});

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(without_network)
}
