// Records what the providers' own clients send for one message, and what they
// make of the answers that the providers document.
//
//	node record.mjs MODULES OUTPUT
//
// MODULES is a directory that holds a node_modules with the packages of
// package.json; OUTPUT gets a file NAME.json for each of the profiles, and for what
// a message of it may have besides:
//
//	{"sdk": "twilio 6.2.0",
//	 "request": {"method", "path", "query", "authorization", "content_type", "accept", "fields"},
//	 "answers": [{"status", "headers", "body", "understood": {"id", "code", "error"}}]}
//
// fields is the body decoded: of a form each name with its values, of JSON the
// value itself.  The clients speak to a server in this process, on loopback.
// The answers are made up in the form that the providers document.  The client
// of Twilio reads them itself; those of SignalHouse and SendGrid hand them on,
// and what their documentation says of the fields is read here.
//
// To make the recordings anew, which needs the network:
//
//	cp -r test/support/sdk /tmp/sdk && cd /tmp/sdk
//	npm install --ignore-scripts && node record.mjs . recorded
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [, , modules, output] = process.argv;
if (!modules || !output) {
	console.error("usage: node record.mjs MODULES OUTPUT");
	process.exit(2);
}
const require = createRequire(join(resolve(modules), "package.json"));

function version(name) {
	const package_json = join(resolve(modules), "node_modules", name, "package.json");
	return `${name} ${JSON.parse(readFileSync(package_json)).version}`;
}

// The message: test/t/sdk_requests.pl has the engine send the same.
const message = JSON.parse(readFileSync(new URL("message.json", import.meta.url)));
const digits = (phone) => phone.replace(/^\+/, "");

// Every answer of a list is given once, and what was asked is kept.
let answer;
let seen;
const server = createServer((request, response) => {
	const parts = [];
	request.on("data", (part) => parts.push(part));
	request.on("end", () => {
		seen = { request, body: Buffer.concat(parts).toString("utf8") };
		response.writeHead(answer.status, answer.headers);
		response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
	});
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;

function pairs(parameters) {
	const result = {};
	for (const [name, value] of parameters)
		(result[name] ??= []).push(value);
	return result;
}

function decoded() {
	const { request, body } = seen;
	const url = new URL(request.url, origin);
	const content_type = (request.headers["content-type"] ?? "").split(";")[0];
	return {
		method: request.method,
		path: url.pathname,
		query: pairs(url.searchParams),
		authorization: request.headers.authorization,
		content_type,
		accept: request.headers.accept,
		fields: content_type === "application/json" ? JSON.parse(body) : pairs(new URLSearchParams(body)),
	};
}

async function record(name, sdk, answers, send) {
	const recording = { sdk, request: null, answers: [] };
	for (answer of answers) {
		const understood = await send();
		recording.request ??= decoded();
		recording.answers.push({ ...answer, understood });
	}
	mkdirSync(output, { recursive: true });
	writeFileSync(join(output, `${name}.json`), JSON.stringify(recording, null, "\t") + "\n");
	console.log(`${name}: ${recording.request.method} ${recording.request.path}, ${answers.length} answers`);
}

const json = { "Content-Type": "application/json" };
const none = { id: null, code: null, error: null };

// twilio: its own encoder and parser, sent elsewhere
const twilio = require("twilio");
const RequestClient = require("twilio/lib/base/RequestClient");
class Redirected extends RequestClient {
	request(options) {
		const url = new URL(options.uri);
		return super.request({ ...options, uri: origin + url.pathname + url.search });
	}
}
const twilio_client = twilio(message.twilio.username, message.twilio.secret, { httpClient: new Redirected() });
const twilio_error = (status, code, text) => ({
	status,
	headers: json,
	body: { code, message: text, more_info: `https://www.twilio.com/docs/errors/${code}`, status },
});
const twilio_parsed = (request) => request.then(
	(resource) => ({ ...none, id: resource.sid }),
	(error) => ({ ...none, code: error.code === undefined ? null : String(error.code), error: error.message }));
const twilio_errors = [
	twilio_error(400, 21211, "Invalid 'To' Phone Number"),
	twilio_error(401, 20003, "Authenticate"),
	twilio_error(429, 20429, "Too Many Requests"),
];

await record("twilio_sms", version("twilio"), [
	{ status: 201, headers: json, body: {
		sid: "SMf0b2c3d4e5f60718f0b2c3d4e5f60718", account_sid: message.twilio.username, status: "queued",
		to: message.to, from: message.from, body: message.body, num_segments: "2", num_media: "0",
		direction: "outbound-api", date_created: "Thu, 08 Oct 2026 15:00:00 +0000", date_sent: null,
		error_code: null, error_message: null, messaging_service_sid: null } },
	twilio_error(400, 21610, "Attempt to send to unsubscribed recipient"),
	...twilio_errors,
], () => twilio_parsed(twilio_client.messages.create(
	{ to: message.to, from: message.from, body: message.body, statusCallback: message.callback_url })));

await record("twilio_sms_media", version("twilio"), [
	{ status: 201, headers: json, body: {
		sid: "MMf0b2c3d4e5f60718f0b2c3d4e5f60718", account_sid: message.twilio.username, status: "queued",
		to: message.to, from: message.from, body: message.body, num_segments: "1", num_media: String(message.media.length),
		direction: "outbound-api", date_created: "Thu, 08 Oct 2026 15:00:00 +0000", date_sent: null,
		error_code: null, error_message: null, messaging_service_sid: null } },
	twilio_error(400, 21620, "Invalid media URL(s)"),
], () => twilio_parsed(twilio_client.messages.create(
	{ to: message.to, from: message.from, body: message.body, mediaUrl: message.media, statusCallback: message.callback_url })));

const voice = new twilio.twiml.VoiceResponse();
voice.say(message.body);
await record("twilio_call", version("twilio"), [
	{ status: 201, headers: json, body: {
		sid: "CAc1b2c3d4e5f60718c1b2c3d4e5f60718", account_sid: message.twilio.username, status: "queued",
		to: message.to, from: message.from, direction: "outbound-api", start_time: null, end_time: null } },
	...twilio_errors,
], () => twilio_parsed(twilio_client.calls.create(
	{ to: message.to, from: message.from, twiml: voice.toString(), statusCallback: message.callback_url })));

// SignalHouse does not throw for an answer; what was taken is in enqueuedCount
const { SignalHouseSDK } = await import(pathToFileURL(require.resolve("@signalhousellc/sdk")).href);
const signalhouse = new SignalHouseSDK({ apiKey: message.signalhouse.secret, baseUrl: origin });
const sent = (document, counts) => ({
	status: 201,
	headers: json,
	body: { insertedMessages: document ? [ document ] : [], requestedRecipientCount: 1, enqueuedCount: 0,
		failedCount: 0, dncBlockedNumbers: [], filteredNumbers: [], ...counts },
});
const document = {
	_id: "66f1a2b3c4d5e6f708192b01", senderPhoneNumber: digits(message.from), recipientPhoneNumber: digits(message.to),
	messageBody: message.body, messageType: "SMS", direction: "OUTBOUND", segmentCount: 2, status: "ENQUEUED", errorCode: null,
};
await record("signalhouse_sms", version("@signalhousellc/sdk"), [
	sent(document, { enqueuedCount: 1 }),
	sent({ ...document, status: "FAILED", errorCode: "OUT" }, { failedCount: 1 }),
	sent({ ...document, status: "FAILED" }, { failedCount: 1 }),
	sent(null, { dncBlockedNumbers: [ digits(message.to) ] }),
	{ status: 400, headers: json, body: { message: "recipientPhoneNumber is required" } },
	{ status: 401, headers: json, body: { message: "Unauthorized" } },
	{ status: 429, headers: { ...json, "Retry-After": "7" }, body: { message: "Too many requests" } },
], async () => {
	const result = await signalhouse.messages.sendSMS({
		senderPhoneNumber: digits(message.from), recipientPhoneNumbers: [ digits(message.to) ],
		messageBody: message.body, statusCallbackUrl: message.callback_url });
	if (!result.success)
		return { ...none, error: result.error };
	const [ first ] = result.data.insertedMessages;
	if (result.data.enqueuedCount === 0)
		return { ...none, code: first?.errorCode ?? "not_enqueued" };
	return { ...none, id: first._id };
});

// SendGrid: the id is in a header, errors have no codes
const sendgrid = require("@sendgrid/mail");
sendgrid.setApiKey(message.sendgrid.secret);
sendgrid.client.setDefaultRequest("baseUrl", origin);
const sendgrid_error = (status, text) => ({
	status, headers: json, body: { errors: [ { message: text, field: null, help: null } ] },
});
const sendgrid_parsed = (request) => request.then(
	([ response ]) => ({ ...none, id: response.headers["x-message-id"] }),
	(error) => ({ ...none, error: error.response.body.errors[0].message }));
const sendgrid_accepted = { status: 202, headers: { "X-Message-Id": "14c5d75ce93.dfd.64b469" }, body: "" };
const mail = {
	to: message.email.to, from: { email: message.email.from, name: message.email.from_name },
	subject: message.email.subject, text: message.body, customArgs: { message_id: message.message_id },
};
await record("sendgrid_mail", version("@sendgrid/mail"), [
	sendgrid_accepted,
	sendgrid_error(400, "Does not contain a valid address."),
	sendgrid_error(401, "The provided authorization grant is invalid, expired, or revoked"),
	sendgrid_error(403, "The from address does not match a verified Sender Identity"),
	sendgrid_error(429, "too many requests"),
], () => sendgrid_parsed(sendgrid.send(mail)));

await record("sendgrid_mail_html", version("@sendgrid/mail"), [
	sendgrid_accepted,
	sendgrid_error(400, "Each email address in the personalization block should be unique between to, cc, and bcc."),
], () => sendgrid_parsed(sendgrid.send({ ...mail, html: message.email.html, bcc: message.email.bcc })));

server.close();
process.exit(0);
