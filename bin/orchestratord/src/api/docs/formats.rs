//! The names of whole numbers' formats. The generator spells those without a sign as no registry does.

use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    schema::{AdditionalProperties, ArrayItems},
};

/// Spells them as the standard's registry of formats does, in every part of a schema.
pub(super) fn name_formats(schema: &mut RefOr<Schema>) {
    if let RefOr::T(schema) = schema {
        inside(schema);
    }
}

fn inside(schema: &mut Schema) {
    match schema {
        Schema::Object(object) => {
            if let Some(name) = object.format.as_ref().and_then(registered) {
                object.format = Some(SchemaFormat::Custom(name.to_owned()));
            }
            object.properties.values_mut().for_each(name_formats);
            if let Some(AdditionalProperties::RefOr(other)) = object.additional_properties.as_deref_mut() {
                name_formats(other);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                name_formats(items);
            }
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(name_formats),
        Schema::AllOf(all) => all.items.iter_mut().for_each(name_formats),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(name_formats),
        _ => {}
    }
}

const fn registered(format: &SchemaFormat) -> Option<&'static str> {
    match format {
        SchemaFormat::KnownFormat(KnownFormat::UInt8) => Some("uint8"),
        SchemaFormat::KnownFormat(KnownFormat::UInt16) => Some("uint16"),
        SchemaFormat::KnownFormat(KnownFormat::UInt32) => Some("uint32"),
        SchemaFormat::KnownFormat(KnownFormat::UInt64) => Some("uint64"),
        _ => None,
    }
}
