// jsforce: signing in with a code and PKCE, the Tooling and Metadata APIs, search. Prints what it saw as JSON.
import jsforce from 'jsforce';

const org = JSON.parse(process.argv[2]);
const seen = {};
const oauth2 = new jsforce.OAuth2({
    loginUrl: org.instance_url, clientId: org.client_id, clientSecret: org.client_secret,
    redirectUri: 'http://localhost:1717/OauthRedirect', useVerifier: true,
});
const signIn = new URLSearchParams({ username: org.username, password: org.password }); // as its form would
const asked = await fetch(oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'here' }), {
    method: 'POST', body: signIn, redirect: 'manual',
});
const callback = new URL(asked.headers.get('location')).searchParams;
seen.state = callback.get('state');
const connection = new jsforce.Connection({ oauth2, version: '60.0' });
await connection.authorize(callback.get('code'));
seen.identity = (await connection.identity()).username;
connection.accessToken = '00Dxx!over';
seen.renewed = (await connection.query('SELECT Id FROM Organization')).totalSize;

const tooling = connection.tooling;
const field = { FullName: 'Account.Tooled__c', Metadata: { label: 'Tooled', type: 'Text', length: 10 } };
seen.tooled = (await tooling.sobject('CustomField').create(field)).success;
const found = await tooling.sobject('CustomField').find({ DeveloperName: 'Tooled' }, 'Id, FullName, Metadata');
seen.definition = found.map((row) => [row.FullName, row.Metadata.length]);
seen.untooled = (await tooling.sobject('CustomField').destroy(found[0].Id)).success;
seen.types = (await tooling.query(
    "SELECT DataType FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Order' AND QualifiedApiName = 'Status'",
)).records.map((row) => row.DataType);

const metadata = connection.metadata;
seen.kinds = (await metadata.describe('60.0')).metadataObjects.some((item) => item.xmlName === 'PermissionSet');
const own = { fullName: 'Account.Saved__c', label: 'Saved', type: 'Text', length: 10 };
seen.saved = (await metadata.create('CustomField', own)).success;
seen.updated = (await metadata.update('CustomField', { ...own, length: 20 })).success;
seen.read = (await metadata.read('CustomField', own.fullName)).length;
seen.listed = (await metadata.list([{ type: 'CustomField' }], '60.0')).some((item) => item.fullName === own.fullName);
const zip = await metadata.retrieve({
    apiVersion: '60.0', singlePackage: true,
    unpackaged: { version: '60.0', types: [{ name: 'CustomField', members: [own.fullName] }] },
}).complete();
seen.removed = (await metadata.delete('CustomField', [own.fullName])).map((item) => item.success);
const content = Buffer.from(zip.zipFile, 'base64');
seen.deployed = (await metadata.deploy(content, { singlePackage: true, rollbackOnError: true }).complete()).status;
seen.byRest = (await metadata.deployRest(content, { singlePackage: true, rollbackOnError: true }).complete()).status;

await connection.sobject('Account').create({ Name: 'Acme Brothers' });
seen.searched = (await connection.search('FIND {Brothers} IN ALL FIELDS RETURNING Account(Name)')).searchRecords
    .map((row) => row.Name);
seen.layouts = (await connection.sobject('Order').layouts()).layouts.length;
seen.recent = (await connection.recent('Account')).map((row) => row.Name);
seen.soap = (await connection.soap.getUserInfo()).userName;
console.log(JSON.stringify(seen));
process.exit(0);
