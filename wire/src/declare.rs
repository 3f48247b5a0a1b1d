//! `messages!`: one declaration makes the struct, its codec, its number and its round-trip test.
//!
//! Fields are written in order, then the TLV records by rising type. A message without records still
//! refuses a broken extension and accepts unknown odd records in it (BOLT 1 § Lightning Message
//! Format). Not here: the enum over all messages (`message::Message`), which lists these structs.

/// Declares messages; see the module's own words and any file in `message/`.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $number:literal $bolt:literal => $name:ident {
            $( $(#[$fdoc:meta])* $field:ident : $kind:ty, )*
        } $( + tlvs { $( $(#[$tdoc:meta])* $tlv:literal => $opt:ident : $tkind:ty, )* } )?
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Eq, PartialEq)]
            #[allow(missing_docs, reason = "fields carry the specification's names")]
            pub struct $name {
                $( $(#[$fdoc])* pub $field: $kind, )*
                $( $( $(#[$tdoc])* pub $opt: Option<$tkind>, )* )?
            }

            $( const _: () = assert!($crate::declare::rising(&[$( $tlv ),*])); )?

            impl $crate::message::Body for $name {
                const NUMBER: u16 = $number;
                const KIND: &'static str = $bolt;
            }

            impl $crate::codec::Encode for $name {
                fn encode(&self, out: &mut Vec<u8>) {
                    $( $crate::codec::Encode::encode(&self.$field, out); )*
                    $( $( $crate::tlv::put(out, $tlv, self.$opt.as_ref()); )* )?
                }
            }

            impl $crate::codec::Decode for $name {
                #[allow(unused_variables, clippy::match_single_binding, reason = "some have no records")]
                fn decode(
                    r: &mut $crate::codec::Reader<'_>,
                ) -> Result<Self, $crate::codec::DecodeError> {
                    $( let $field = <$kind as $crate::codec::Decode>::decode(r)?; )*
                    $( $( let mut $opt = None; )* )?
                    $crate::tlv::each(r, |kind, value| match kind {
                        $( $( $tlv => {
                            $opt = Some(<$tkind as $crate::tlv::Record>::take(value)?);
                            Ok(true)
                        } )* )?
                        _ => Ok(false),
                    })?;
                    Ok(Self { $( $field, )* $( $( $opt, )* )? })
                }
            }

            #[cfg(test)]
            impl $crate::sample::Sample for $name {
                fn sample(seed: &mut $crate::sample::Seed) -> Self {
                    Self {
                        $( $field: $crate::sample::Sample::sample(seed), )*
                        $( $( $opt: $crate::sample::Sample::sample(seed), )* )?
                    }
                }
            }
        )*

        #[cfg(test)]
        mod round_trip {
            #[test]
            fn every_message_declared_here_survives_its_own_encoding() {
                $( $crate::sample::round_trip::<super::$name>(); )*
            }
        }
    };
}

/// Declares a structure of fields without number, to be used as one field or one record.
macro_rules! subtypes {
    ($(
        $(#[$doc:meta])*
        $name:ident { $( $(#[$fdoc:meta])* $field:ident : $kind:ty, )* }
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub struct $name { $( $(#[$fdoc])* pub $field: $kind, )* }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( $crate::codec::Encode::encode(&self.$field, out); )*
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(
                r: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                $( let $field = <$kind as $crate::codec::Decode>::decode(r)?; )*
                Ok(Self { $( $field, )* })
            }
        }

        $crate::tlv::records!($name);

        #[cfg(test)]
        impl $crate::sample::Sample for $name {
            fn sample(seed: &mut $crate::sample::Seed) -> Self {
                Self { $( $field: $crate::sample::Sample::sample(seed), )* }
            }
        }
    )* };
}

/// Whether TLV types are declared in the order they are written in. Checked when compiling.
pub(crate) const fn rising(kinds: &[u64]) -> bool {
    let mut rest = kinds;
    while let [first, tail @ ..] = rest {
        if let [second, ..] = tail
            && *first >= *second
        {
            return false;
        }
        rest = tail;
    }
    true
}
