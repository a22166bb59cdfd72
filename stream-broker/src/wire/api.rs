//! The requests that are served: for each its versions and its layout.
//!
//! Advertised is what librdkafka 2.12 and the clients of Apache Kafka 4.1 need, and no more.

use kafka_protocol::messages::ApiKey;

use super::shape::{Kind, Shape, always, between, since};

use Kind::{Bytes, Fixed, Plain, Structs, Text};

const I8: Kind = Fixed(1);
const I16: Kind = Fixed(2);
const I32: Kind = Fixed(4);
const I64: Kind = Fixed(8);
const UUID: Kind = Fixed(16);

/// A request that is served.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// The oldest version that is answered.
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// The first version with compact lengths and tagged fields.
    flexible: i16,
    pub(crate) shape: Shape,
}

impl Api {
    /// Whether this version has compact lengths and tagged fields.
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    /// The oldest version that is advertised. librdkafka takes a broker whose Produce does not start at 0 for one
    /// without compression; Apache Kafka 4 advertises 0 for its sake too, and refuses versions below 3 all the same.
    pub(crate) fn advertised_min(&self) -> i16 {
        if self.key == ApiKey::Produce {
            0
        } else {
            self.min
        }
    }
}

/// Finds a served request by its number.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key as i16 == key)
}

const fn api(key: ApiKey, min: i16, max: i16, flexible: i16, shape: Shape) -> Api {
    Api {
        key,
        min,
        max,
        flexible,
        shape,
    }
}

const NEVER: i16 = i16::MAX;
const PARTITIONS: Kind = Structs(&[always(Text), always(Plain(&I32))]);
const CONFIGS: Kind = Structs(&[always(Text), always(Text)]);

/// Every request that is served, by number.
pub(crate) const APIS: &[Api] = &[
    api(
        ApiKey::Produce,
        3,
        10,
        9,
        &[
            always(Text),
            always(I16),
            always(I32),
            always(Structs(&[
                always(Text),
                always(Structs(&[always(I32), always(Bytes)])),
            ])),
        ],
    ),
    api(
        ApiKey::Fetch,
        4,
        16,
        12,
        &[
            between(I32, 0, 14),
            always(I32),
            always(I32),
            always(I32),
            always(I8),
            since(I32, 7),
            since(I32, 7),
            always(Structs(&[
                between(Text, 0, 12),
                since(UUID, 13),
                always(Structs(&[
                    always(I32),
                    since(I32, 9),
                    always(I64),
                    since(I32, 12),
                    since(I64, 5),
                    always(I32),
                ])),
            ])),
            since(
                Structs(&[between(Text, 0, 12), since(UUID, 13), always(Plain(&I32))]),
                7,
            ),
            since(Text, 11),
        ],
    ),
    api(
        ApiKey::ListOffsets,
        1,
        7,
        6,
        &[
            always(I32),
            since(I8, 2),
            always(Structs(&[
                always(Text),
                always(Structs(&[always(I32), since(I32, 4), always(I64)])),
            ])),
        ],
    ),
    api(
        ApiKey::Metadata,
        0,
        13,
        9,
        &[
            always(Structs(&[since(UUID, 10), always(Text)])),
            since(I8, 4),
            between(I8, 8, 10),
            since(I8, 8),
        ],
    ),
    api(
        ApiKey::OffsetCommit,
        2,
        9,
        8,
        &[
            always(Text),
            always(I32),
            always(Text),
            since(Text, 7),
            between(I64, 2, 4),
            always(Structs(&[
                always(Text),
                always(Structs(&[
                    always(I32),
                    always(I64),
                    since(I32, 6),
                    always(Text),
                ])),
            ])),
        ],
    ),
    api(
        ApiKey::OffsetFetch,
        1,
        9,
        6,
        &[
            between(Text, 0, 7),
            between(PARTITIONS, 0, 7),
            since(
                Structs(&[
                    always(Text),
                    since(Text, 9),
                    since(I32, 9),
                    always(PARTITIONS),
                ]),
                8,
            ),
            since(I8, 7),
        ],
    ),
    api(
        ApiKey::FindCoordinator,
        0,
        4,
        3,
        &[between(Text, 0, 3), since(I8, 1), since(Plain(&Text), 4)],
    ),
    api(
        ApiKey::JoinGroup,
        2,
        9,
        6,
        &[
            always(Text),
            always(I32),
            always(I32),
            always(Text),
            since(Text, 5),
            always(Text),
            always(Structs(&[always(Text), always(Bytes)])),
            since(Text, 8),
        ],
    ),
    api(
        ApiKey::Heartbeat,
        0,
        4,
        4,
        &[always(Text), always(I32), always(Text), since(Text, 3)],
    ),
    api(
        ApiKey::LeaveGroup,
        0,
        5,
        4,
        &[
            always(Text),
            between(Text, 0, 2),
            since(Structs(&[always(Text), always(Text), since(Text, 5)]), 3),
        ],
    ),
    api(
        ApiKey::SyncGroup,
        0,
        5,
        4,
        &[
            always(Text),
            always(I32),
            always(Text),
            since(Text, 3),
            since(Text, 5),
            since(Text, 5),
            always(Structs(&[always(Text), always(Bytes)])),
        ],
    ),
    api(
        ApiKey::DescribeGroups,
        0,
        5,
        5,
        &[always(Plain(&Text)), since(I8, 3)],
    ),
    api(ApiKey::ListGroups, 0, 4, 3, &[since(Plain(&Text), 4)]),
    api(
        ApiKey::ApiVersions,
        0,
        4,
        3,
        &[since(Text, 3), since(Text, 3)],
    ),
    api(
        ApiKey::CreateTopics,
        2,
        7,
        5,
        &[
            always(Structs(&[
                always(Text),
                always(I32),
                always(I16),
                always(Structs(&[always(I32), always(Plain(&I32))])),
                always(CONFIGS),
            ])),
            always(I32),
            always(I8),
        ],
    ),
    api(
        ApiKey::DeleteTopics,
        1,
        6,
        4,
        &[
            between(Plain(&Text), 0, 5),
            since(Structs(&[always(Text), always(UUID)]), 6),
            always(I32),
        ],
    ),
    api(
        ApiKey::DeleteRecords,
        0,
        2,
        2,
        &[
            always(Structs(&[
                always(Text),
                always(Structs(&[always(I32), always(I64)])),
            ])),
            always(I32),
        ],
    ),
    api(
        ApiKey::InitProducerId,
        0,
        4,
        2,
        &[always(Text), always(I32), since(I64, 3), since(I16, 3)],
    ),
    api(
        ApiKey::AddPartitionsToTxn,
        0,
        3,
        3,
        &[always(Text), always(I64), always(I16), always(PARTITIONS)],
    ),
    api(
        ApiKey::AddOffsetsToTxn,
        0,
        3,
        3,
        &[always(Text), always(I64), always(I16), always(Text)],
    ),
    api(
        ApiKey::EndTxn,
        0,
        3,
        3,
        &[always(Text), always(I64), always(I16), always(I8)],
    ),
    api(
        ApiKey::TxnOffsetCommit,
        0,
        3,
        3,
        &[
            always(Text),
            always(Text),
            always(I64),
            always(I16),
            since(I32, 3),
            since(Text, 3),
            since(Text, 3),
            always(Structs(&[
                always(Text),
                always(Structs(&[
                    always(I32),
                    always(I64),
                    since(I32, 2),
                    always(Text),
                ])),
            ])),
        ],
    ),
    api(
        ApiKey::DescribeConfigs,
        1,
        4,
        4,
        &[
            always(Structs(&[always(I8), always(Text), always(Plain(&Text))])),
            always(I8),
            since(I8, 3),
        ],
    ),
    api(
        ApiKey::CreatePartitions,
        0,
        3,
        2,
        &[
            always(Structs(&[
                always(Text),
                always(I32),
                always(Structs(&[always(Plain(&I32))])),
            ])),
            always(I32),
            always(I8),
        ],
    ),
    api(ApiKey::DeleteGroups, 0, 2, 2, &[always(Plain(&Text))]),
    api(
        ApiKey::IncrementalAlterConfigs,
        0,
        1,
        1,
        &[
            always(Structs(&[
                always(I8),
                always(Text),
                always(Structs(&[always(Text), always(I8), always(Text)])),
            ])),
            always(I8),
        ],
    ),
    api(
        ApiKey::OffsetDelete,
        0,
        0,
        NEVER,
        &[
            always(Text),
            always(Structs(&[always(Text), always(Structs(&[always(I32)]))])),
        ],
    ),
    api(
        ApiKey::DescribeCluster,
        0,
        1,
        0,
        &[always(I8), since(I8, 1)],
    ),
];
