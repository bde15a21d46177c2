// The shapes that the API gives, for editors and for `tsc --checkJs`.

/** @typedef {"unknown"|"online"|"busy"|"sleeping"|"slow"|"checking"|"loading"|"healing"|"offline"|"failed"|"key_refused"|"stopped"|"paused"|"disabled"} State */

/**
 * @typedef {object} Model
 * @property {string} id
 * @property {string} [state]
 * @property {number} [size_bytes]
 * @property {number} [gpu_bytes]
 * @property {string} [expires_at]
 */

/**
 * @typedef {object} Fault
 * @property {string} class
 * @property {string|null} model
 * @property {{since: string, failures: number, depth: string, lines: {from: string, text: string}[]}} evidence
 */

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} backend
 * @property {string} label
 * @property {string} url
 * @property {number} port
 * @property {string|null} address
 * @property {boolean} enabled
 * @property {boolean} found
 * @property {State} state
 * @property {string} why
 * @property {string|null} step
 * @property {string|null} since
 * @property {Fault|null} fault
 * @property {number|null} incident
 * @property {number|null} last_incident
 * @property {string|null} version
 * @property {string|null} variant
 * @property {Model[]|null} models
 * @property {string} owner_text
 * @property {string|null} hint
 * @property {number|null} process_id
 * @property {string|null} last_check
 * @property {string|null} last_success
 * @property {number} restart_count
 * @property {string|null} error_message
 * @property {number|null} response_time
 * @property {string} health_endpoint
 * @property {number} timeout
 * @property {number} restart_delay
 * @property {number} max_restart_attempts
 * @property {string} policy
 * @property {boolean} dry_run
 */

/** What may be asked, by session. @typedef {Record<string, {routes: string[], needs?: string[]}>} Grants */

/** @typedef {{code: string, text: string, remedy: string}} Problem */

/**
 * @typedef {object} Plugin
 * @property {string} id
 * @property {string} label
 * @property {string} version
 * @property {string} contract
 * @property {number} abi
 * @property {"bundled"|"folder"} origin
 * @property {string|null} library
 * @property {string|null} library_hash
 * @property {string|null} in_use_hash
 * @property {boolean} replaces_bundled
 * @property {string} state
 * @property {string} why
 * @property {Problem|null} problem
 * @property {string|null} next_version
 * @property {Grants} granted
 * @property {Grants|null} asks_for
 * @property {number} failures
 * @property {{at: string, session: string, reason: string}|null} last_failure
 * @property {string|null} retry_at
 * @property {string[]} targets
 * @property {number} held_targets
 */

/** @typedef {{file: string, hash: string|null, problem: Problem}} PluginFile */

/** @typedef {{safe_mode: boolean, folder: string, plugins: Plugin[], files: PluginFile[]}} Plugins */

/**
 * @typedef {object} Snapshot
 * @property {string} at
 * @property {string} version
 * @property {number} pid
 * @property {string} listen
 * @property {string} data_dir
 * @property {string|null} config_file
 * @property {string} config_path
 * @property {string[]} looked_at
 * @property {string[]} troubles
 * @property {Plugins} plugins
 * @property {boolean} monitoring_active
 * @property {boolean} debug_mode
 * @property {number} check_interval
 * @property {Target[]} targets
 */

/**
 * @typedef {object} IncidentRow
 * @property {number} id
 * @property {string} target
 * @property {string} class
 * @property {string} opened
 * @property {string|null} closed
 * @property {string|null} ended
 * @property {string|null} by
 * @property {string|null} reason
 */

/**
 * One line of a story. An empty kind belongs to the line above.
 * @typedef {{at: string, kind: string, text: string, line: string|null}} StoryLine
 */

/** @typedef {"connecting"|"live"|"polling"|"lost"} Link */

export {};
