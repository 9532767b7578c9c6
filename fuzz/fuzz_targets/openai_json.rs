//! A call in `OpenAI`'s dialect is refused by the name of a field, or handed on as one JSON object with the client's own
//! members, which reads again to the same.
#![no_main]

use std::{collections::BTreeMap, sync::OnceLock};

use adapter_api::{Relay, Route, Work, WorkOrder};
use config_schema::ExtraFields;
use http_util::openai::relay_body;
use libfuzzer_sys::fuzz_target;
use orchestratord::fuzzing::Server;
use orchestratord_fuzz::{must_name_a_field, without_network};
use serde_json::value::RawValue;

/// What the server writes itself.
const OWN: [&str; 4] = ["model", "stream", "stream_options", "sse_ping_interval"];

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else { return };
    let route = [Route::ChatCompletions, Route::Completions, Route::Embeddings][usize::from(first % 3)];
    let extras = if first & 0x40 == 0 { ExtraFields::Pass } else { ExtraFields::Refuse };
    match server().call(route, body, extras) {
        Err(refused) => must_name_a_field(&refused),
        Ok((taken, _)) => {
            let order = taken.expect("what is taken in has its order").order;
            let sent = relay_body(relay(&order), &order.model, "");
            same_members(body, &sent);
            // What an engine gets is itself a call, and says the same.
            let (again, _) =
                server().call(route, &sent, extras).unwrap_or_else(|refused| panic!("{refused:?}"));
            let again = again.expect("what is taken in has its order").order;
            let facts = |of: &Relay| (of.members.expose().to_owned(), of.answers, of.max_tokens);
            assert_eq!((facts(relay(&again)), &again.model), (facts(relay(&order)), &order.model));
        }
    }
});

fn relay(order: &WorkOrder) -> &Relay {
    match &order.work {
        Work::Relay(relay) => relay,
        other => panic!("{other:?}"),
    }
}

/// Every member of the client's that is not the server's own arrives, each as it was written.
fn same_members(asked: &[u8], sent: &[u8]) {
    let members = |json| {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(json).expect("an object");
        members.retain(|name, _| !OWN.contains(&name.as_str()));
        members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(members(asked), members(sent));
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(without_network)
}
