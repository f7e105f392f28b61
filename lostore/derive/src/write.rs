//! The implementation of `TableType` as tokens.
//!
//! Contract: everything is named by its full path from `::lostore`, so that it compiles whatever the user has in scope.

use crate::shape::{Codec, FieldShape, Kind, Missing, TableShape};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

pub(crate) fn table_type(shape: &TableShape<'_>) -> TokenStream {
    let ident = shape.ident;
    let (name, fields) = (&shape.name, shape.record.len());
    let key_type = key_type(shape);
    let (spec, encode_key, encode_record) = (spec(shape), encode_key(shape), encode_record(shape));
    let (decode, markers, pointers) = (decode(shape), markers(shape), pointers(shape));
    quote! {
        #[automatically_derived]
        impl ::lostore::TableType for #ident {
            type Key = #key_type;
            const NAME: &'static str = #name;
            const FIELDS: usize = #fields;
            #spec
            #encode_key
            #encode_record
            #decode
        }
        #markers
        #pointers
    }
}

fn key_type(shape: &TableShape<'_>) -> TokenStream {
    let types: Vec<_> = shape.key.iter().map(|key| key.field_type).collect();
    match &types[..] {
        [] => quote!(::lostore::Address<Self>),
        [only] => quote!(#only),
        _ => quote!((#(#types),*)),
    }
}

fn spec(shape: &TableShape<'_>) -> TokenStream {
    let type_name = shape.ident.to_string();
    let kind = match shape.kind {
        Kind::Hash => quote!(Hash),
        Kind::Ordered => quote!(Ordered),
        Kind::Sack => quote!(Sack),
        Kind::ClientHash => quote!(ClientHash),
    };
    let home = if shape.volatile { quote!(Volatile) } else { quote!(Persistent) };
    let pairs = shape.pairs;
    let key = shape.key.iter().map(|key| {
        let (name, field_type) = (key.ident.to_string(), key.field_type);
        quote! {
            ::lostore::schema::Field {
                name: ::std::string::String::from(#name),
                field_type: <#field_type as ::lostore::KeyField>::field_type(),
            }
        }
    });
    let record = shape.record.iter().map(|field| {
        let (name, field_type) = (field.ident.to_string(), field_type(field));
        quote! {
            ::lostore::schema::Field { name: ::std::string::String::from(#name), field_type: #field_type }
        }
    });
    let rules = rules(shape);
    quote! {
        fn spec() -> ::lostore::schema::TableSpec {
            ::lostore::schema::TableSpec {
                type_name: ::std::string::String::from(#type_name),
                kind: ::lostore::schema::TableKind::#kind,
                home: ::lostore::schema::TableHome::#home,
                key: ::std::vec![#(#key),*],
                record: ::std::vec![#(#record),*],
                pairs_hint: #pairs,
                rules: #rules,
            }
        }
    }
}

/// What the fields are held to, what they are where they are missing, and the hint of the index.
fn rules(shape: &TableShape<'_>) -> TokenStream {
    let mut rules = quote!(::lostore::rules::Rules::new());
    if shape.compact_slots {
        rules.extend(quote!(.compact_slots()));
    }
    for (position, field) in shape.record.iter().enumerate() {
        let position = u16::try_from(position).expect("a record has at most 1024 fields");
        let field_type = field.field_type;
        if field.required {
            rules.extend(quote!(.required(#position)));
        }
        if let Some((least, most)) = &field.range {
            rules.extend(quote!(.range::<#field_type>(#position, #least, #most)));
        }
        let value = match &field.default {
            Missing::Refused => continue,
            Missing::TypeDefault => quote!(<#field_type as ::std::default::Default>::default()),
            Missing::Value(value) => quote!({ let value: #field_type = #value; value }),
        };
        rules.extend(match field.codec {
            Codec::Serde => quote!(.missing::<#field_type>(#position, &#value)),
            Codec::Bytes => quote!(.missing_bytes(#position, &#value)),
            Codec::Pointer { .. } => quote!(.missing_pointer(#position, &#value)),
        });
    }
    quote!(#rules.finish())
}

fn field_type(field: &FieldShape<'_>) -> TokenStream {
    match &field.codec {
        Codec::Pointer { to, table } => {
            let table = match table {
                Some(table) => quote!(#table),
                None => quote!(<#to as ::lostore::TableType>::NAME),
            };
            quote!(::lostore::schema::FieldType::Pointer { table: ::std::string::String::from(#table) })
        }
        Codec::Serde | Codec::Bytes => {
            let of = field.field_type;
            let name = quote!(#of).to_string();
            quote!(::lostore::record::field_type_named(#name))
        }
    }
}

fn encode_key(shape: &TableShape<'_>) -> TokenStream {
    let body = if shape.kind == Kind::Sack {
        quote!(out.push_raw(found);)
    } else {
        let fields = shape.key.iter().map(|key| {
            let ident = key.ident;
            quote!(::lostore::KeyField::encode(&self.#ident, out);)
        });
        quote!(let _ = found; #(#fields)*)
    };
    quote! {
        fn encode_key(&self, found: &[u8], out: &mut ::lostore::schema::keys::KeyBuf) {
            #body
        }
    }
}

fn encode_record(shape: &TableShape<'_>) -> TokenStream {
    let count = shape.record.len();
    let fields = shape.record.iter().map(|field| {
        let (ident, name) = (field.ident, field.ident.to_string());
        let required = field.required.then(|| quote!(::lostore::rules::check_required(#name, &self.#ident)?;));
        let range = field.range.as_ref().map(|(least, most)| {
            let of = field.field_type;
            quote!(::lostore::rules::check_range::<#of>(#name, self.#ident, #least, #most)?;)
        });
        let write = match field.codec {
            Codec::Serde => quote!(writer.field(#name, &self.#ident)?;),
            Codec::Bytes => quote!(writer.bytes(&self.#ident);),
            Codec::Pointer { .. } => quote!(writer.pointer(&self.#ident);),
        };
        quote!(#required #range #write)
    });
    quote! {
        fn encode_record(
            &self,
            rest: &::lostore::schema::envelope::Rest,
            out: &mut ::std::vec::Vec<u8>,
        ) -> ::std::result::Result<(), ::lostore::RecordError> {
            #[allow(unused_mut, reason = "a record may have no fields")]
            let mut writer = ::lostore::record::Writer::new(out, #count, rest);
            #(#fields)*
            writer.finish();
            ::std::result::Result::Ok(())
        }
    }
}

fn decode(shape: &TableShape<'_>) -> TokenStream {
    let key = shape.key.iter().map(|key| {
        let (ident, name, field_type) = (key.ident, key.ident.to_string(), key.field_type);
        quote!(#ident: reader.key::<#field_type>(#name)?)
    });
    // The address is checked, though the record does not hold it.
    let address = (shape.kind == Kind::Sack).then(|| quote!(reader.key::<::lostore::Address<Self>>("address")?;));
    let record = shape.record.iter().map(|field| {
        let (ident, name, field_type) = (field.ident, field.ident.to_string(), field.field_type);
        let default = match &field.default {
            Missing::Refused => quote!(::std::option::Option::None),
            Missing::TypeDefault => {
                quote!(::std::option::Option::Some(<#field_type as ::std::default::Default>::default))
            }
            Missing::Value(value) => quote!(::std::option::Option::Some(|| #value)),
        };
        match field.codec {
            Codec::Serde => quote!(#ident: reader.field::<#field_type>(#name, #default)?),
            Codec::Bytes => quote!(#ident: reader.bytes(#name, #default)?),
            Codec::Pointer { .. } => quote!(#ident: reader.pointer(#name, #default)?),
        }
    });
    quote! {
        fn decode(
            key: &[u8],
            record: &[u8],
        ) -> ::std::result::Result<(Self, ::lostore::schema::envelope::Rest), ::lostore::RecordError> {
            let mut reader = ::lostore::record::Reader::new(key, record)?;
            #address
            let found = Self { #(#key,)* #(#record,)* };
            ::std::result::Result::Ok((found, reader.rest()?))
        }
    }
}

fn markers(shape: &TableShape<'_>) -> TokenStream {
    let ident = shape.ident;
    match shape.kind {
        Kind::Hash => quote!(impl ::lostore::Keyed for #ident {}),
        // A key of another type is refused where the struct is compiled.
        Kind::ClientHash => {
            let key = shape.key[0].field_type;
            quote! {
                impl ::lostore::Keyed for #ident {}
                const _: () = ::lostore::key::hashed_by_client::<#key>();
            }
        }
        Kind::Ordered => quote!(impl ::lostore::Keyed for #ident {} impl ::lostore::Ordered for #ident {}),
        Kind::Sack => quote!(impl ::lostore::Sacked for #ident {}),
    }
}

/// A constant for each pointer field, so that `follow` names it and knows where it leads.
fn pointers(shape: &TableShape<'_>) -> TokenStream {
    let constants = shape.record.iter().enumerate().filter_map(|(position, field)| {
        let Codec::Pointer { to, .. } = &field.codec else { return None };
        let position = u16::try_from(position).expect("a record has at most 1024 fields");
        let (name, visibility) = (format_ident!("{}", field.ident.to_string().to_uppercase()), field.visibility);
        let about = format!("The pointer field `{}`, to follow.", field.ident);
        Some(quote! {
            #[doc = #about]
            #[allow(dead_code, reason = "not every pointer is followed")]
            #visibility const #name: ::lostore::PtrField<Self, #to> = ::lostore::PtrField::at(#position);
        })
    });
    let constants: Vec<_> = constants.collect();
    if constants.is_empty() {
        return TokenStream::new();
    }
    let ident = shape.ident;
    quote! {
        impl #ident {
            #(#constants)*
        }
    }
}
