# ActiveRecord, with pg.  ACTIVERECORD says which version, where several are installed; recipe.py,
# what else the environment says.

gem 'activerecord', ENV['ACTIVERECORD'] if ENV['ACTIVERECORD']
require 'active_record'
require 'json'
require 'stringio'
require 'tmpdir'

HAS_COMPOSITE_KEYS = ActiveRecord.version >= Gem::Version.new('7.1')
IDS = JSON.parse(ENV.fetch('IDS'))
ANN, BOB, OURS = IDS.values_at('ann', 'bob', 'ours')

# Is there that, which a proxy has not? A line says what is left out.
def has?(what)
  lacks = ENV.fetch('LACKS').split.include?(what)
  puts "left out - #{what}" if lacks
  !lacks
end

def check(name, got, expected)
  puts(got == expected ? "ok - #{name}" : "not ok - #{name}: #{got.inspect}, not #{expected.inspect}")
  $stdout.flush
end

def raised_by
  yield
  nil
rescue StandardError => e
  e
end

def config_of(database, **more)
  config = { adapter: 'postgresql', host: ENV.fetch('PGHOST'), port: ENV.fetch('PGPORT'),
             username: ENV.fetch('PGUSER'), database: database, pool: 1, **more }
  ActiveRecord::DatabaseConfigurations::HashConfig.new('test', 'primary', config)
end

ActiveRecord::Base.establish_connection(config_of(ENV.fetch('PGDATABASE')))

# Functions, and who acts
module Chat
  # A transaction in which a user acts; within another, it puts back who acted there.
  def self.as(user)
    ActiveRecord::Base.transaction(requires_new: true) do
      before = connection.select_value("SELECT current_setting('chatrel.user_id', true)")
      act_as(user)
      yield.tap { act_as(before) }
    end
  end

  def self.act_as(user)
    connection.exec_query("SELECT set_config('chatrel.user_id', $1, true)", 'act', [bind(user.to_s)])
  end

  # The rows of a function of chatrel's.
  def self.rows(function, *arguments, **named)
    places = (1..arguments.size).map { |n| "$#{n}" }
    places += named.keys.each_with_index.map { |name, n| "#{name} => $#{arguments.size + n + 1}" }
    connection.exec_query("SELECT * FROM chatrel.#{function}(#{places.join(', ')})", function,
                          (arguments + named.values).map { |argument| bind(argument) })
  end

  # The first column of the first row, called as a user; of jsonb, what it says.
  def self.call(user, function, *arguments, **named)
    as(user) { rows(function, *arguments, **named).cast_values.first }.then do |row|
      row.is_a?(Array) ? row.first : row
    end
  end

  # Neither arrays nor hashes are written as PostgreSQL wants them.
  def self.bind(value)
    value = PG::TextEncoder::Array.new.encode(value) if value.is_a?(Array)
    value = JSON.generate(value) if value.is_a?(Hash)
    ActiveRecord::Relation::QueryAttribute.new('', value, ActiveRecord::Type::Value.new)
  end

  def self.connection
    ActiveRecord::Base.connection
  end
end

# Tables.  In 6.1 there are no keys of two columns; since 7.1 they are found, unless one is named.
class Group < ActiveRecord::Base
  self.table_name = 'chatrel.groups'
  has_many :messages, foreign_key: :group_id
end

class Message < ActiveRecord::Base
  self.table_name = 'chatrel.groups_messages'
  self.primary_key = 'id' # of the two columns of its key the one that says it
  belongs_to :group
end

class MessageByBoth < ActiveRecord::Base
  self.table_name = 'chatrel.groups_messages'
end

sent = Chat.as(ANN) { Chat.rows('send_group_message', OURS, 'Hello', metadata: { kind: 'greeting' }, mentions: [BOB]).to_a.first }
check('a message is sent, and ids are numbers', [sent['id'].class, sent['message']], [Integer, 'Hello'])
document = Chat.as(BOB) { Chat.rows('get_message', OURS, sent['id']) }
check('the columns of exec_query are what the database writes', document.rows[0][0].class, String)
check('and cast_values casts them', document.cast_values[0].values_at('sender_id', 'mentions'), [ANN, [BOB]])
check('after a transaction nobody acts', Chat.rows('current_user_id').rows, [[nil]])
within = Chat.as(BOB) { [Chat.as(ANN) { Chat.rows('current_user_id').rows }, Chat.rows('current_user_id').rows] }
check('one within another ends, too', within, [[[ANN]], [[BOB]]])

if has?('tables')
  Chat.as(BOB) do
    message = Message.find(sent['id'])
    check('a row is an object', [message.id, message.group.name, message.message], [sent['id'], 'ours', 'Hello'])
    check('a group has many messages', Group.find(OURS).messages.map(&:id), [sent['id']])
    if HAS_COMPOSITE_KEYS
      message = MessageByBoth.find([OURS, sent['id']])
      check('caveat: by the key of the table, the id is an array', [message.id, message.id_value], [[OURS, sent['id']], sent['id']])
    else
      check('caveat: without a key that is named there is no find', raised_by { MessageByBoth.find(sent['id']) }.class, ActiveRecord::UnknownPrimaryKey)
    end
  end
  check('of which nobody sees any', Message.count, 0)
  error = raised_by { Chat.as(ANN) { Message.find(sent['id']).update!(message: 'by the table') } }
  check('and which nobody changes', [error.class, error.cause.class],
        [ActiveRecord::StatementInvalid, PG::InsufficientPrivilege])
end

# A private club, a direct conversation, and what one of the two catches up with
cursor = Chat.call(BOB, 'sync', 'now')['cursor']
club = Chat.call(ANN, 'create_group', 'club', visibility: 'private')
check('users are invited by an array of ids', Chat.call(ANN, 'invite', club, [BOB]), 1)
Chat.call(BOB, 'join_group', club)
Chat.call(ANN, 'set_role', club, BOB, 'moderator')
direct = Chat.call(ANN, 'direct_group', [BOB])['id']
once, again = Array.new(2) { Chat.call(ANN, 'send_group_message', direct, 'between us', client_key: 'a key') }
check('a send that is tried again with its key is there once', again, once)
events = Chat.call(BOB, 'sync', cursor)['events'].map { |event| event.first }
check('sync brings what has happened, in the order of each group',
      [club, direct].map { |group| events.filter_map { |kind, body| kind if body['group_id'] == group } },
      [%w[member_joined invited member_joined added_to_group member_changed],
       %w[member_joined member_joined added_to_group group_message]])

# Errors: the class by SQLSTATE, where it is not StatementInvalid; and of the cause, which is pg's
CLASSES = { '23505' => ActiveRecord::RecordNotUnique, '22001' => ActiveRecord::ValueTooLong }.freeze
CAUSES = {
  '28000' => PG::InvalidAuthorizationSpecification, 'P0002' => PG::NoDataFound,
  '42501' => PG::InsufficientPrivilege, '22023' => PG::InvalidParameterValue,
  '22001' => PG::StringDataRightTruncation, '23505' => PG::UniqueViolation,
  '55000' => PG::ObjectNotInPrerequisiteState, '53400' => PG::ConfigurationLimitExceeded,
  '54000' => PG::ProgramLimitExceeded, '25006' => PG::ReadOnlySqlTransaction
}.freeze
fields = {}
expected_fields = {}
JSON.parse(File.read("#{__dir__}/errors.json")).each do |wanted|
  name = "#{wanted['sqlstate']} of #{wanted['call']}"
  call = wanted['call'].gsub(/\{(\w+)\}/) { IDS[$1].to_s }
  error = raised_by do
    Chat.as(IDS[wanted['user']]) do
      Chat.connection.execute('SET TRANSACTION READ ONLY') if wanted['read_only']
      Chat.connection.exec_query("SELECT * FROM #{call}")
    end
  end
  sqlstate, *about = [PG::PG_DIAG_SQLSTATE, PG::PG_DIAG_TABLE_NAME, PG::PG_DIAG_COLUMN_NAME, PG::PG_DIAG_CONSTRAINT_NAME]
                     .map { |field| error.cause.result.error_field(field) }
  check(name, [error.class, error.cause.class, sqlstate],
        [CLASSES.fetch(wanted['sqlstate'], ActiveRecord::StatementInvalid), CAUSES[wanted['sqlstate']], wanted['sqlstate']])
  fields[name] = about
  expected_fields[name] = wanted.values_at('table', 'column', 'constraint')
end
check('errors say which table, column and constraint', fields, expected_fields) if has?('error_fields')
history = Chat.call(ANN, 'get_group_with_chat_history', OURS)['messages'].map { |message| message['message'] }
if has?('rollback')
  check('a transaction that fails undoes what was sent in it', history.include?('undone'), false)
else
  check('caveat: what was sent in a transaction that fails stays', history.include?('undone'), true)
end

# The trap: a SET stays with the connection, which goes back to the pool.
ActiveRecord::Base.connection.execute("SET chatrel.user_id = #{BOB}")
ActiveRecord::Base.connection_pool.release_connection
check('caveat: a SET survives in the pool', Chat.rows('current_user_id').rows, [[BOB]])
ActiveRecord::Base.connection.execute('RESET chatrel.user_id')

# Events, on a connection of pg outside the pool, to the database of the group
connection = PG.connect(ENV.fetch('SHARDS').split[OURS >> 48])
connection.exec_params('SELECT * FROM chatrel.listen(as_user => $1)', [BOB])
Chat.call(ANN, 'send_group_message', OURS, 'heard')
heard = nil
connection.wait_for_notify(60) { |_channel, _pid, payload| heard = JSON.parse(payload) }
check('events are heard', heard && heard['group_message']['message'], 'heard')

exit unless has?('tables')

# What db:schema:dump and db:schema:load do.  schema.rb, the trap: since 7.1 it makes the schema of
# the extension before the extension, which has made it already, or then fails to.
ActiveRecord::Schema.verbose = false
Chat.connection.execute('CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES chatrel.users ON DELETE CASCADE)')
dump = StringIO.new
ActiveRecord::SchemaDumper.dump(Chat.connection, dump)
check('schema.rb has the tables of the application', dump.string.scan(/create_table "(.*?)"/).flatten, ['profiles'])
check('with keys to chatrel\'s', dump.string.include?('add_foreign_key "profiles", "chatrel.users"'), true)
error = raised_by { Object.class_eval(dump.string) }
check("#{'caveat: ' if HAS_COMPOSITE_KEYS}schema.rb where there is the extension",
      [dump.string.include?('create_schema "chatrel"'), error.nil?], [HAS_COMPOSITE_KEYS, !HAS_COMPOSITE_KEYS])

# structure.sql, with config.active_record.schema_format = :sql
Dir.mktmpdir do |folder|
  copy = "#{ENV.fetch('PGDATABASE')}_structure"
  tasks = ->(*about, **more) { ActiveRecord::Tasks::PostgreSQLDatabaseTasks.new(config_of(*about, **more)) }
  tasks.call(ENV.fetch('PGDATABASE')).structure_dump("#{folder}/structure.sql", %w[-N chatrel --no-comments])
  tasks.call(copy, template: 'chat').create
  tasks.call(copy).structure_load("#{folder}/structure.sql", nil)
  loaded = PG.connect(dbname: copy)
  check('structure.sql is loaded into a copy of a template that has the extension',
        loaded.exec("SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = 'profiles'::regclass AND contype = 'f'").values,
        [['chatrel.users']])
  loaded.close
end
