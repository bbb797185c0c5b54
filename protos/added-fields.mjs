/**
 * Fields and enum values that Envoy and istiod use and that the .proto tree of the npm package is too old to have.
 * The one place where anything is added to a message of the tree; see README.md. A field in no list is a NACK.
 *
 * @typedef {object} AddedField
 * @property {string} message full name of the message that gets the field
 * @property {string} name
 * @property {number} number
 * @property {string} type a scalar (`string`, `bool`, `uint32` …) or the full name of a message or enum
 * @property {boolean} [repeated]
 * @property {string} [oneof] the oneof that it belongs to
 * @property {string} source where the number is written down
 */

const api = "envoyproxy/envoy api/";

/** @type {readonly AddedField[]} */
export const addedFields = [
  {
    message: "envoy.config.cluster.v3.Cluster",
    name: "dns_jitter",
    number: 58,
    type: "google.protobuf.Duration",
    source: `${api}envoy/config/cluster/v3/cluster.proto`,
  },
];

/**
 * @typedef {object} AddedValue
 * @property {string} enum full name
 * @property {string} name
 * @property {number} number
 * @property {string} source
 */

/** @type {readonly AddedValue[]} */
export const addedValues = [
  {
    enum: "envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode",
    name: "FULL_DUPLEX_STREAMED",
    number: 4,
    source: `${api}envoy/extensions/filters/http/ext_proc/v3/processing_mode.proto`,
  },
];
