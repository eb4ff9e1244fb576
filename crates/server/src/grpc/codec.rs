//! Messages are checked before they are decoded.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use springtide_open_inference::grpc::Bounded;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::status::grpc_status;

/// The codec of Protocol Buffers messages. Those that are received are [`Bounded`].
pub(super) struct BoundedCodec<E, D> {
    messages: PhantomData<(E, D)>,
}

impl<E, D> Default for BoundedCodec<E, D> {
    fn default() -> Self {
        Self {
            messages: PhantomData,
        }
    }
}

impl<E: Message + 'static, D: Bounded + 'static> Codec for BoundedCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = MessageEncoder<E>;
    type Decoder = MessageDecoder<D>;

    fn encoder(&mut self) -> MessageEncoder<E> {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> MessageDecoder<D> {
        MessageDecoder(PhantomData)
    }
}

/// Encodes the messages that are sent.
pub(super) struct MessageEncoder<E>(PhantomData<E>);

impl<E: Message> Encoder for MessageEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.encoded_len());
        message
            .encode(out)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Checks and decodes the messages that are received.
pub(super) struct MessageDecoder<D>(PhantomData<D>);

impl<D: Bounded> Decoder for MessageDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, wire: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // Raw contents are slices of these bytes, so they aren't copied.
        let wire = wire.copy_to_bytes(wire.remaining());
        D::check(&wire).map_err(|problem| grpc_status(&problem.into()))?;
        let message = D::decode(wire)
            .map_err(|error| Status::invalid_argument(format!("the message: {error}")))?;
        Ok(Some(message))
    }
}
